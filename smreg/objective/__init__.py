"""The penalised cross-entropy as a function of coordinates, its information, and what stands in its place.

Coordinates of the coefficients, value and gradient, Fisher information and metrics made of it, samples of the
rows, the duality gap, and reductions: the row space, features of a single sample, collinear features. How the
minimum is found belongs to `smreg.fit`.
"""
