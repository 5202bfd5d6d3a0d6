"""Baselines that revcd is compared with: linear and kernel methods, class normalisation, generative models, and bounds.

May import `scoring`, `metrics`, `core` and `config`.
"""
