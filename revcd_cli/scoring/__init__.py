"""The zero-shot model: scores of classes by four rules, their calibration, and the training of several networks.

May import `core`, `metrics`, `system`, `config` and `errors`.
"""
