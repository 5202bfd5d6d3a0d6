"""Writers of predictions: CSV, TSV, JSON, JSON lines, Parquet and HTML; and a reader of these files.

May import `reports.pages`, and `pipeline` for the predictions.
"""
