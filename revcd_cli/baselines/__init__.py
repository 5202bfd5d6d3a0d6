"""Baselines that revcd is compared with: linear methods, class normalisation, a conditional VAE and GAN, and bounds.

May import `scoring`, `metrics`, `core` and `config`.
"""
