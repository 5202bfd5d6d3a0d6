"""Training: cross-validation and the final training, both resumable.

May import `pipeline.evaluate` and what lies below `pipeline`.
"""
