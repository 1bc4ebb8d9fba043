"""Probabilities of any classifier: its logits, methods that calibrate them, and studies that compare these.

Measures of probabilities belong to `smreg.metrics`.
"""
