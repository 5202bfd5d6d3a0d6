"""Terminal output: messages, progress, tables, and small charts made of characters.

Imports nothing of revcd but `errors`, and the types of what is shown.
"""
