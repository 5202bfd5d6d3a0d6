"""Feature files: image features as Parquet, .npz or .mat, with the backbone that computed them.

May import `data.formats`, `system` and `config`.
"""
