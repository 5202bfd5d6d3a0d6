"""Fixtures of photos in object storage."""

from tests.makers.s3_server import s3

__all__ = ["s3"]
