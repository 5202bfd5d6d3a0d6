"""Reports of `revcd evaluate --baselines`: JSON, CSV and an HTML page that compare methods.

May import `reports.pages`, and `pipeline` for the results.
"""
