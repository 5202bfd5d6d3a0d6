"""Prediction: ranked classes for photos, and explanations.

May import `pipeline.extract` and what lies below `pipeline`.
"""
