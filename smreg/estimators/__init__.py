"""What users fit: `SoftmaxRegression`, `SoftmaxRegressionCV` and `regularization_path`.

Parameters, attributes, folds, scores, callbacks and warnings; the numbers come from `smreg.fit`.
"""
