"""Reports of results: HTML pages, plots, and files of predictions and metrics.

May import `pipeline` (for the results) and the packages below it.
"""
