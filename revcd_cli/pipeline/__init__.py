"""Use cases: each takes typed settings and returns a typed result, without printing or drawing.

May import everything below: `checkpoint`, `scoring`, `metrics`, `baselines`, `backbones`, `data`, `core`, `system`.
"""
