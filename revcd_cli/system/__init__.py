"""The machine: device, precision, threads, memory, micro-benchmarks and files.

May import `config` and `errors`.
"""
