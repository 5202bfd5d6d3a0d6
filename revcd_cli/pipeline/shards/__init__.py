"""Runs over shards: features or predictions of any number of photos, by one machine or many, resumable.

`run.py` is the run, `jobs.py` what a shard becomes, `contract.py` the manifest and the listing. May import
`pipeline.extract`, `pipeline.predict` and what lies below `pipeline`.
"""
