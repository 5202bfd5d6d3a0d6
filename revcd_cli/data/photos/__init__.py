"""Photos: finding them in folders, lists and archives, and decoding them.

May import `errors` and `system`.
"""
