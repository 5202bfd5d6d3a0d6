"""Hyperparameter search on validation data.

May import `pipeline.train` and what lies below `pipeline`.
"""
