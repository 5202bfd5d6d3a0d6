"""Comparison of RevCD with baselines: the same features, validation folds and search for a seen penalty for all.

May import `pipeline.train`, `pipeline.evaluate` and what lies below `pipeline`.
"""
