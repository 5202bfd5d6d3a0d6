"""Terminal output: messages, progress bars, tables, and small charts made of characters.

May import `errors`, and for type checkers the results that are printed.
"""
