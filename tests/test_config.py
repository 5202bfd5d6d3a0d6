"""Config: defaults, ranges, choices and contradictions; an error names the setting and the value."""

from __future__ import annotations

import dataclasses
import json
from typing import Any

import pytest

from revcd_cli.config import RULES, BackboneRecord, Config
from revcd_cli.errors import ConfigError

SETTINGS = [(section, key, value) for section, values in Config().to_dict().items() for key, value in values.items()]
NUMBERS = [(section, key) for section, key, value in SETTINGS if type(value) in (int, float)]
RECORD = BackboneRecord(tag="t", weights_sha256="ab", preprocessing={"size": 8}, feature_dim=24, precision="float32")


def test_an_empty_document_is_the_default_configuration():
    assert Config.from_dict({}) == Config()


def test_missing_settings_have_their_default():
    config = Config.from_dict({"train": {"epochs": 3}})
    assert config.train == dataclasses.replace(Config().train, epochs=3)
    assert config.encoder == Config().encoder


def test_a_configuration_is_the_same_after_json():
    config = Config.from_dict({"train": {"learning_rate": 0.1 + 0.2}, "encoder": {"skip": False, "tokens": "views"}})
    document = json.loads(json.dumps(config.to_dict(), allow_nan=False))
    assert document == config.to_dict()
    assert Config.from_dict(document) == config


@pytest.mark.parametrize(
    ("values", "name", "nearest"),
    [
        ({"train": {"epoch": 3}}, "train.epoch", "epochs"),
        ({"trian": {}}, "trian", "train"),
        ({"encoder": {"Width": 16}}, "encoder.Width", "width"),
        ({"inference": {"guidance": 2.0}}, "inference.guidance", "guidance_scale"),
        ({"epochs": 3}, "epochs", None),
        ({"loss": {"zzz": 3}}, "loss.zzz", None),
    ],
)
def test_an_unknown_setting_is_an_error_with_the_nearest_known_name(values: dict, name: str, nearest: str | None):
    with pytest.raises(ConfigError) as caught:
        Config.from_dict(values)
    assert f'"{name}"' in caught.value.message
    said = caught.value.message.partition("did you mean ")[2]
    assert said == (f'"{nearest}"?).' if nearest else "")


@pytest.mark.parametrize(
    ("name", "value", "shown"),
    [
        ("precondition.shrinkage", 1.5, "0..1"),
        ("diffusion.timesteps", 1, "2..10000"),
        ("loss.cls_temperature", 0.0, "at least 0.001"),
        ("loss.drop_condition", 1.0, "0..0.99"),
        ("encoder.n_tokens", 0, "at least 1"),
        ("encoder.dropout", 0.99, "0..0.95"),
        ("denoiser.width", 0, "at least 1"),
        ("inference.eta", 1.01, "0..1"),
        ("inference.guidance_scale", 101.0, "0..100"),
        ("train.epochs", 0, "at least 1"),
        ("train.learning_rate", 2.0, "1e-08..1"),
        ("train.ema_decay", 1.0, "0..0.99999"),
        ("train.validation_classes", 1.0, "0..0.9"),
        ("train.give_away", 1.5, "0..1"),
        ("train.false_reject", 1.5, "0..1"),
        ("train.validation_folds", 0, "at least 1"),
    ],
)
def test_a_value_out_of_range_is_named_with_the_range(name: str, value: float, shown: str):
    section, key = name.split(".")
    with pytest.raises(ConfigError) as caught:
        Config.from_dict({section: {key: value}})
    assert all(part in caught.value.message for part in (name, f"got {value:g}", shown))


@pytest.mark.parametrize(("section", "key"), NUMBERS)
def test_every_number_refuses_minus_one(section: str, key: str):
    kind = type(Config().to_dict()[section][key])
    with pytest.raises(ConfigError, match=key):
        Config.from_dict({section: {key: kind(-1)}})


@pytest.mark.parametrize(("section", "key"), NUMBERS)
def test_every_number_refuses_nan(section: str, key: str):
    with pytest.raises(ConfigError, match=key):
        Config.from_dict({section: {key: float("nan")}})


@pytest.mark.parametrize(
    ("section", "key", "value"),
    [
        ("precondition", "shrinkage", 0.0),
        ("precondition", "shrinkage", 1.0),
        ("diffusion", "timesteps", 2),
        ("diffusion", "timesteps", 10_000),
        ("train", "mixup", 1.0),
        ("train", "validation_classes", 0.0),
        ("inference", "steps", Config().diffusion.timesteps),
    ],
)
def test_ranges_include_both_ends(section: str, key: str, value: float):
    assert Config.from_dict({section: {key: value}}).to_dict()[section][key] == value


@pytest.mark.parametrize(
    ("section", "key", "value", "allowed", "nearest"),
    [
        ("precondition", "kind", "standardize", ("standardise", "whiten", "centre"), "standardise"),
        ("diffusion", "schedule", "cosin", ("cosine", "linear"), "cosine"),
        ("diffusion", "objective", "velocity", ("v", "x0", "eps", "both"), None),
        ("loss", "weighting", "exakt", ("simple", "exact"), "exact"),
        ("loss", "rec_rows", "photos", ("all", "photo"), "photo"),
        ("inference", "head", "noise", ("x0", "eps", "mixed"), None),
        ("encoder", "tokens", "chunks", ("chunk", "single", "views"), "chunk"),
        ("encoder", "feature_scaling", "L2", ("classes", "standard", "minmax", "l2"), "l2"),
        ("denoiser", "reading", "C", ("A", "B"), None),
        ("denoiser", "norm", "Layer", ("layer", "batch"), "layer"),
        ("inference", "rule", "cosines", ("auto", *RULES), "cosine"),
        ("train", "penalty", "harmonics", ("auto", "harmonic", "sparing", "none"), "harmonic"),
        ("inference", "sampler", "dpm", ("ddim", "ddpm"), "ddpm"),
    ],
)
def test_an_unknown_choice_lists_the_known_ones(
    section: str, key: str, value: str, allowed: tuple, nearest: str | None
):
    with pytest.raises(ConfigError) as caught:
        Config.from_dict({section: {key: value}})
    message = caught.value.message
    assert f"{section}.{key}" in message and f'"{value}"' in message and ", ".join(allowed) in message
    assert (nearest is None) == ("did you mean" not in message)
    assert nearest is None or f'did you mean "{nearest}"?' in message
    for choice in allowed:
        values: dict[str, dict[str, object]] = {"inference": {"rule": "prototype"}}  # needs nothing of the network
        values.setdefault(section, {})[key] = choice
        assert Config.from_dict(values).to_dict()[section][key] == choice


@pytest.mark.parametrize(
    ("values", "name"),
    [
        ({"train": {"epochs": "3"}}, "train.epochs"),
        ({"train": {"epochs": 3.0}}, "train.epochs"),
        ({"train": {"epochs": True}}, "train.epochs"),
        ({"train": {"mixup": True}}, "train.mixup"),
        ({"train": {"mixup": None}}, "train.mixup"),
        ({"encoder": {"skip": 1}}, "encoder.skip"),
        ({"encoder": {"tokens": 1}}, "encoder.tokens"),
        ({"encoder": {"tokens": ["chunk"]}}, "encoder.tokens"),
        ({"encoder": 16}, "encoder"),
        ({"encoder": [1]}, "encoder"),
    ],
)
def test_a_value_of_another_type_is_an_error_that_names_the_setting(values: dict[str, Any], name: str):
    with pytest.raises(ConfigError) as caught:
        Config.from_dict(values)
    assert caught.value.message.startswith(f"{name} ")


def test_an_integer_is_accepted_for_a_float():
    value = Config.from_dict({"train": {"mixup": 1}}).train.mixup
    assert value == 1.0 and type(value) is float


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"encoder": {"width": 30, "heads": 4}}, ("encoder.width (30)", "encoder.heads (4)")),
        ({"denoiser": {"time_width": 7}}, ("denoiser.time_width", "7")),
        ({"inference": {"band_low": 0.6, "band_high": 0.6}}, ("band_low", "0.6")),
        ({"precondition": {"kind": "whiten+centre+whiten"}}, ("precondition.kind", "twice", "whiten+centre+whiten")),
        ({"precondition": {"kind": "whiten+"}}, ("precondition.kind", "standardise, whiten, centre")),
        (
            {"inference": {"rule": "joint"}, "prototypes": {"components": 0}},
            ("inference.rule", "prototypes.components above"),
        ),
        ({"inference": {"band_high": 1.2}}, ("band_high", "1.2")),
        ({"diffusion": {"timesteps": 10}, "inference": {"steps": 11}}, ("inference.steps", "1..10", "11")),
    ],
)
def test_contradictory_settings_are_refused(values: dict, words: tuple[str, ...]):
    with pytest.raises(ConfigError) as caught:
        Config.from_dict(values)
    assert all(word in caught.value.message for word in words)


@pytest.mark.parametrize(("rule", "becomes"), [(None, "evidence"), ("auto", "evidence"), ("cosine", "cosine")])
def test_a_given_rule_replaces_the_models_rule_unless_it_is_auto(rule: str | None, becomes: str):
    inference = Config.from_dict({"inference": {"rule": "evidence", "draws": 3}}).inference
    assert inference.with_rule(rule) == dataclasses.replace(inference, rule=becomes)


@pytest.mark.parametrize(
    ("name", "value"),
    [("tag", "other"), ("weights_sha256", "cd"), ("preprocessing", {"size": 9}), ("tokens", 4), ("feature_dim", 25)],
)
def test_the_difference_of_two_backbone_records_names_the_field(name: str, value: Any):
    other = dataclasses.replace(RECORD, **{name: value})
    assert RECORD.difference(other) == f"{name} is {getattr(RECORD, name)!r} here and {value!r} there"


def test_backbone_records_of_different_precision_are_compatible():
    assert RECORD.difference(dataclasses.replace(RECORD, precision="bfloat16")) is None
    assert BackboneRecord(**json.loads(json.dumps(RECORD.to_dict()))) == RECORD
