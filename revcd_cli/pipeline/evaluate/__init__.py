"""Evaluation: accuracy on seen and unseen classes, and the diagnosis of the results.

May import what lies below `pipeline`.
"""
