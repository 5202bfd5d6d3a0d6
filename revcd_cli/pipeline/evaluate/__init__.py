"""Evaluation: accuracy on seen and unseen classes, and the diagnosis behind the figures.

May import what lies below `pipeline`.
"""
