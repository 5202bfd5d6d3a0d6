"""Reports of `revcd evaluate`: metrics as JSON and CSV, plots, and an HTML page.

May import `reports.pages` and `reports.plots`, and `pipeline` for the results.
"""
