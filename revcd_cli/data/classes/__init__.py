"""Class tables: class descriptions by attributes, read from CSV and checked.

May import `data.formats` and `system`.
"""
