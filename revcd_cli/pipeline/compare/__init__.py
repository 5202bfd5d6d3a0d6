"""Comparison of RevCD with baselines on the same features, folds and search.

May import `pipeline.train`, `pipeline.evaluate` and what lies below `pipeline`.
"""
