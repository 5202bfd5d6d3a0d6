"""Reports of `revcd evaluate`: files of figures, plots, and one page.

May import `reports.pages` and `reports.plots`, and `pipeline` for the results.
"""
