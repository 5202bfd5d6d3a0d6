"""Photos in object storage, in Parquet files and in archives that are read as streams, and the listing of all inputs.

May import `photos`, `formats` and `system`.
"""
