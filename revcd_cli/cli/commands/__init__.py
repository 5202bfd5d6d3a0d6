"""The commands, one file each.

Each turns its options into one call of `pipeline`, and shows or writes what comes back through `reports`.
"""
