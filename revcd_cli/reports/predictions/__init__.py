"""Files of predictions: CSV, JSON, JSON lines, Parquet, and a page to look through.

May import `reports.pages`, and `pipeline` for the predictions.
"""
