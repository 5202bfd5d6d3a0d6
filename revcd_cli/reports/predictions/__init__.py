"""Writers of predictions: CSV, TSV, JSON, JSON lines, Parquet and HTML.

May import `reports.pages`, and `pipeline` for the predictions.
"""
