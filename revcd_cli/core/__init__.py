"""The paper: the diffusion model, its training (Algorithm 1) and its sampling (Algorithm 2).

Torch and mathematics only: no files, no printing. May import `config`; docs/method.md gives the reading order.
"""
