"""Checks of class tables and datasets, and advice for making a class table better.

May import what lies below `pipeline`.
"""
