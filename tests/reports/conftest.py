"""Fixtures of tests that need a small trained model; they are defined in tests/makers/toy.py."""

from tests.makers.toy import make_toy, small_config, toy_model, weights

__all__ = ["make_toy", "small_config", "toy_model", "weights"]
