"""The commands `revcd study cls-weight`, `denoise`, `epochs` and `ladder`, one file each.

Each calls a function of `pipeline.study`, writes its results with `reports.studies`, and prints a table.
"""
