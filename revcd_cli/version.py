"""The version of revcd, which files, caches and reports record."""

__version__ = "0.2.0"
