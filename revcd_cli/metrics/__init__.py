"""Evaluation metrics: per-class accuracy, the seen-unseen curve, bootstrap intervals, reliability of probabilities.

Torch and SciPy only; imports no other part of revcd.
"""
