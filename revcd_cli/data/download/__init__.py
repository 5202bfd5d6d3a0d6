"""Downloads of the public benchmarks: resumable HTTP, and the known archives.

May import `data.datasets` (the names of the benchmarks) and `system`.
"""
