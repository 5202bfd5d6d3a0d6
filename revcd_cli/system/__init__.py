"""The machine: device, precision, threads, and files.

May import `config` and `errors`.
"""
