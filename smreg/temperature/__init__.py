"""The softmax of given logits as a family in one parameter, the temperature, and its fit.

Scaling a classifier belongs to `smreg.calibration`.
"""
