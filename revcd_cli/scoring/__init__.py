"""From a trained model to a score for every class, and from scores to calibrated answers.

May import `core`, `metrics`, `system` and `config`.
"""
