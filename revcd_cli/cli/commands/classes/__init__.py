"""The commands `revcd classes ...`, one file each.

Each calls a function of `pipeline.tables`, and prints the result or writes it through `reports.classes`.
"""
