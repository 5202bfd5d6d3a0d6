"""Fixtures of runs over shards."""

from tests.makers.s3_server import s3
from tests.makers.toy import weights

__all__ = ["s3", "weights"]
