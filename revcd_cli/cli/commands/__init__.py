"""The commands, one file each.

Each passes its options to one function of `pipeline`, and prints the result or writes it through `reports`.
"""
