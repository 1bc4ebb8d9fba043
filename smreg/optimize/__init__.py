"""Minimisers that know no model: L-BFGS in a metric, quadratics with an L1 penalty, metrics.

What they minimise is handed to them as functions; metrics of the cross-entropy are made in `smreg.objective`.
"""
