"""What people look at or load elsewhere: HTML pages, plots, and files of predictions and figures.

May import `pipeline` (the results that are shown) and what lies below it.
"""
