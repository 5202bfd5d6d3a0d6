"""Describe a new class: a draft of its row, questions about it, and the files that keep both.

May import `pipeline.tables`. Torch is imported for `photos` only.
"""
