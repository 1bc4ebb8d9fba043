"""What a model is fitted to: features in blocks of rows, targets and weights; threads over blocks.

Here is all that knows how X is stored, and all validation of what users pass. What is computed of the numbers
belongs to `smreg.objective`.
"""
