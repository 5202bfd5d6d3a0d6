"""Prediction: photos to ranked classes.

May import `pipeline.extract` and what lies below `pipeline`.
"""
