"""The search space of `revcd tune`, and the inference settings that it tries on trained networks."""

from __future__ import annotations

import dataclasses
import itertools

import optuna
import pytest

import revcd_cli.pipeline.tune.search_space as space_module
from revcd_cli.config import Config
from revcd_cli.pipeline.settings import flat
from revcd_cli.pipeline.tune.rescoring import BANDS, GUIDANCE, scored_settings, scored_variants
from revcd_cli.pipeline.tune.search_space import TRAINED, LogRange, SearchSpace, with_settings


def suggest(space: SearchSpace, parameters: dict) -> dict:
    """Return the settings that a trial with these parameters changes."""
    study = optuna.create_study()
    study.enqueue_trial(parameters)
    return space.suggest(study.ask())


def test_every_value_of_the_space_is_a_valid_setting():
    start = dict(flat(Config().to_dict()))
    for name, values in TRAINED.items():
        for value in values:
            assert dict(flat(with_settings(Config(), {name: value}).to_dict())) == start | {name: value}
    assert len(TRAINED) >= 10


def test_the_starting_point_changes_nothing():
    assert suggest(SearchSpace(Config()), SearchSpace(Config()).start_parameters()) == {}


@pytest.mark.parametrize("value", [0.0, 1e-6, 0.77])
def test_a_starting_value_outside_the_space_is_kept(value: float):
    base = with_settings(Config(), {"train.weight_decay": value, "train.mixup": value})
    space = SearchSpace(base)
    assert suggest(space, space.start_parameters()) == {}


def test_random_trials_change_about_half_of_the_settings_within_the_space():
    space = SearchSpace(Config())
    drawn = [suggest(space, space.random_parameters(0, trial)) for trial in range(1, 201)]
    changed = sum(map(len, drawn)) / (200 * len(TRAINED))
    assert 0.25 < changed < 0.5  # half are kept, and some of the others are drawn at their starting value
    assert {name for settings in drawn for name in settings} == set(TRAINED)
    for settings in drawn:
        for name, value in settings.items():
            values = TRAINED[name]
            if isinstance(values, LogRange):
                assert values.low * 0.99 <= value <= values.high * 1.01
                assert value == float(f"{value:.2g}")
            else:
                assert value in values


def test_random_trials_depend_on_seed_and_number_alone():
    space = SearchSpace(Config())
    one, same, other = ([space.random_parameters(seed, trial) for trial in range(1, 9)] for seed in (0, 0, 1))
    assert one == same != other
    assert all(a != b for a, b in itertools.pairwise(one))


def test_spatial_features_fix_the_tokens_of_the_encoder():
    assert "encoder.tokens" not in SearchSpace(Config(), spatial=True).random_parameters(0, 1)
    assert "encoder.tokens" in SearchSpace(Config()).random_parameters(0, 1)


def test_every_setting_of_the_space_is_listed():
    assert {row[0] for row in space_module.describe_space(Config())} > set(TRAINED)


def test_inference_variants_begin_with_the_settings_of_the_model_and_are_distinct():
    config = Config.from_dict({"inference": {"band_low": 0.2, "guidance_scale": 3.0}})
    base, variants = config.inference, scored_variants(config)
    assert variants[0] == base and len(set(variants)) == len(variants)
    bands = {(variant.band_low, variant.band_high) for variant in variants}
    assert bands == {(0.2, 0.7), *BANDS}
    assert {(variant.guidance_scale, variant.samples) for variant in variants} == {(3.0, 16), *GUIDANCE}
    slow = dataclasses.replace(config, inference=dataclasses.replace(base, sampler="ddpm"))
    assert {(variant.guidance_scale, variant.samples) for variant in scored_variants(slow)} == {(3.0, 16)}


def test_only_inference_settings_that_affect_the_rule_are_reported():
    base = Config().inference
    other = dataclasses.replace(base, band_low=0.4, guidance_scale=2.5)
    assert scored_settings(other, base, "evidence") == {"inference.band_low": 0.4}
    assert scored_settings(other, base, "cosine") == {"inference.guidance_scale": 2.5}
    assert scored_settings(base, base, "joint") == scored_settings(other, base, "prototype") == {}
