"""Visual prototypes: the Gaussian process from class descriptions to mean photos, and the classes derived from it.

May import `core`, `config` and `errors`.
"""
