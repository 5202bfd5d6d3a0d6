"""Evaluation metrics: per-class accuracy, the seen-unseen curve, and reliability of probabilities.

Torch and mathematics only; imports no other part of revcd.
"""
