"""Input data: class tables, photos, feature files, datasets and downloads.

No networks are built here. May import `system`, `config` and `errors`.
"""
