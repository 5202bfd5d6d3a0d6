"""Training: cross-validation, the final training, and resuming both.

May import `pipeline.evaluate` and what lies below `pipeline`.
"""
