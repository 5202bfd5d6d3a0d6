"""File formats and text encodings that several readers share.

May import `system` and `errors`.
"""
