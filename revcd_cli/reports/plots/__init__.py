"""Plots as PNG and SVG, drawn with matplotlib.

May import `pipeline` for the results.
"""
