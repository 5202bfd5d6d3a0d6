"""Reports of `revcd evaluate --baselines`: methods side by side.

May import `reports.pages`, and `pipeline` for the results.
"""
