"""Settings that are valid alone and wrong together are refused, with the settings that would be right."""

from __future__ import annotations

import itertools
from typing import Any

import pytest

from revcd_cli.config import Config
from revcd_cli.errors import ConfigError
from revcd_cli.pipeline.settings import preset_names, resolve_settings
from revcd_cli.pipeline.tune.rescoring import scored_variants


def config(*assignments: str) -> Config:
    return resolve_settings(None, assignments).config


COSINE, DDPM, GUIDED = "inference.rule=cosine", "inference.sampler=ddpm", "inference.guidance_scale=2.0"
CHAIN = (COSINE, DDPM, "diffusion.schedule=linear")
PHOTO, TWO_PASS = "loss.rec_rows=photo", "loss.drop=two-pass"
EPS, BOTH, NOISE_HEAD = "diffusion.objective=eps", "diffusion.objective=both", "inference.head=eps"

REFUSED = [
    ((EPS,), "diffusion.objective = eps", "inference.sampler = ddpm"),
    ((EPS, COSINE, "inference.steps=500"), "amplifies", "inference.sampler = ddpm"),
    ((EPS, COSINE, DDPM), "diffusion.schedule = cosine", "inference.clip"),
    ((EPS, *CHAIN, "diffusion.timesteps=99", "inference.steps=1"), "diffusion.timesteps = 99", "100 or more timesteps"),
    ((BOTH, NOISE_HEAD, COSINE), "inference.head = eps", "inference.sampler = ddpm"),
    (("loss.drop_condition=0",), "inference.rule = auto", "loss.drop_condition above 0"),
    (("loss.drop_condition=0", COSINE, GUIDED), "inference.guidance_scale = 2", "loss.drop_condition above 0"),
    ((BOTH, TWO_PASS), "inference.head = x0", "inference.head = eps"),
    ((BOTH, PHOTO, *CHAIN, GUIDED), "inference.head = x0", "loss.rec_rows = all"),
    ((BOTH, PHOTO, "inference.head=mixed", *CHAIN, GUIDED), "inference.head = mixed", "loss.rec_rows = all"),
    ((BOTH, "loss.rec_weight=0"), "inference.head = x0", "loss.rec_weight above 0"),
    ((PHOTO, COSINE, GUIDED), "inference.steps = 1", "more steps"),
    ((TWO_PASS, GUIDED), "inference.steps = 1", "loss.drop = masked"),
    ((PHOTO, "loss.noise_weight=0"), "loss.noise_weight = 0", "loss.noise_weight above 0"),
    ((BOTH, NOISE_HEAD, "loss.noise_weight=0", *CHAIN, GUIDED), "loss.noise_weight = 0", "above 0"),
]
ALLOWED = [
    (),
    (COSINE, GUIDED),
    (PHOTO, COSINE, GUIDED, "inference.steps=20"),
    (TWO_PASS, COSINE, GUIDED, DDPM),
    (EPS, *CHAIN, GUIDED),
    (EPS, COSINE, DDPM, "inference.clip=6"),
    (EPS, "inference.rule=evidence"),
    (BOTH,),
    (BOTH, TWO_PASS, COSINE),  # the clean head, with a photo only
    (BOTH, TWO_PASS, NOISE_HEAD, *CHAIN, GUIDED),
    (BOTH, TWO_PASS, NOISE_HEAD, "inference.rule=evidence"),
    ("loss.drop_condition=0", COSINE),
    ("loss.drop_condition=0", "inference.rule=prototype", GUIDED),
]


@pytest.mark.parametrize(("assignments", "reason", "way_out"), REFUSED)
def test_a_combination_that_training_does_not_support_is_refused_with_a_way_out(
    assignments: tuple[str, ...], reason: str, way_out: str
) -> None:
    with pytest.raises(ConfigError) as caught:
        config(*assignments)

    assert reason in caught.value.message and way_out in (caught.value.hint or "")


@pytest.mark.parametrize("assignments", ALLOWED)
def test_a_combination_that_training_supports_is_accepted(assignments: tuple[str, ...]) -> None:
    config(*assignments)


@pytest.mark.parametrize("setting", ["consistency_weight", "cls_weight"])
def test_without_a_photo_the_consistency_term_does_not_replace_the_reconstruction_loss(setting: str) -> None:
    with pytest.raises(ConfigError):
        config(BOTH, TWO_PASS, *CHAIN, GUIDED, f"loss.{setting}=10")


@pytest.mark.parametrize("rule", ["evidence", "joint"])
def test_another_rule_for_a_trained_model_is_checked_too(rule: str) -> None:
    trained = config("loss.drop_condition=0", COSINE)

    with pytest.raises(ConfigError, match=r"loss\.drop_condition = 0"):
        trained.inference_by(rule)
    assert trained.inference_by(None) == trained.inference


@pytest.mark.parametrize("name", [name for name in preset_names() if name != "default"])
def test_the_paper_s_presets_have_its_losses_and_its_chain(name: str) -> None:
    chosen = resolve_settings(name).config

    assert (chosen.loss.consistency_weight, chosen.loss.cls_fade, chosen.diffusion.objective) == (0, False, "both")
    # The noise of 1,024 values is not learned, so the clean vector samples for Flowers; the preset's file says so.
    head = ("masked", "x0") if name == "paper-flo" else ("two-pass", "eps")
    assert (chosen.loss.drop, chosen.inference.head) == head
    assert (chosen.inference.sampler, chosen.inference.samples, chosen.inference.clip) == ("ddpm", 1, 6)
    assert (chosen.simulation.share, chosen.prototypes.components, chosen.train.penalty) == (0, 0, "none")


@pytest.mark.parametrize(
    ("assignments", "scales"),
    [((), {1.0, 1.5, 2.5}), ((PHOTO,), {1.0}), ((TWO_PASS,), {1.0}), ((BOTH,), {1.0, 1.5, 2.5})],
)
def test_tune_proposes_guidance_only_where_training_supports_it(
    assignments: tuple[str, ...], scales: set[float]
) -> None:
    start = config(*assignments)

    variants = scored_variants(start)

    assert {variant.guidance_scale for variant in variants} == scales
    for variant in variants:
        start.check_inference(variant)


def test_every_combination_is_accepted_or_refused_by_its_own_message() -> None:
    choices: list[tuple[str, list[Any]]] = [
        ("diffusion.objective", ["v", "x0", "eps", "both"]),
        ("inference.head", ["x0", "eps", "mixed"]),
        ("loss.drop", ["masked", "two-pass"]),
        ("loss.rec_rows", ["all", "photo"]),
        ("inference.rule", ["auto", "cosine", "evidence", "prototype"]),
        ("inference.sampler", ["ddim", "ddpm"]),
        ("inference.guidance_scale", [1.0, 1.5]),
    ]
    found = {True: 0, False: 0}
    for values in itertools.product(*(options for _, options in choices)):
        document: dict[str, dict[str, Any]] = {}
        for (name, _), value in zip(choices, values, strict=True):
            section, _, key = name.partition(".")
            document.setdefault(section, {})[key] = value
        try:
            Config.from_dict(document)
            found[True] += 1
        except ConfigError as error:
            assert error.hint
            assert document["inference"]["rule"] != "prototype"  # it uses no network
            found[False] += 1
    assert min(found.values()) > 100
