"""Input data: class tables, photos, feature files, datasets and downloads.

It does not build networks. May import `system`, `config` and `errors`.
"""
