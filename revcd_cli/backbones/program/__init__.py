"""Convolutional networks recorded as a flat list of operations, which run faster and load without timm.

May import `system` and `errors`.
"""
