"""From validated data to coefficients and the record of how they were found.

One solve for each penalty and kind of data, whether the classes are separated, solutions along a path, the
grid of penalties, and the check of the record. What estimators make of it belongs to `smreg.estimators`.
"""
