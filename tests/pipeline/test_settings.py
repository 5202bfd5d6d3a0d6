"""Settings: precedence of defaults, file and `--set`, the origin of each value, and the messages for invalid ones."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from revcd_cli.config import Config
from revcd_cli.errors import ConfigError, InputFileError, UsageError
from revcd_cli.pipeline.settings import preset_names, resolve_settings, save_config, to_toml

OTHER_WORD = {
    "centre+whiten": "whiten", "classes": "l2", "cosine": "linear", "v": "both", "simple": "exact", "single": "views",
    "standard": "minmax", "fitted": "drawn",
    "A": "B", "layer": "batch", "auto": "cosine", "harmonic": "none", "ddim": "ddpm", "masked": "two-pass",
    "posterior": "beta", "all": "photo", "x0": "eps", "gaussian": "mixture", "photos": "table", "seen": "table",
}  # fmt: skip


OTHER_THAN_AUTO = {"penalty": "none", "candidates": "table"}
OTHER_THAN_AUTO |= dict.fromkeys(("whitening", "length", "noise", "own_share", "taken_limit"), 0.7)


def other(name: str, value: Any) -> Any:
    """Return another value that the same setting accepts."""
    if name in OTHER_THAN_AUTO:
        return OTHER_THAN_AUTO[name]
    if isinstance(value, bool):
        return not value
    if isinstance(value, str):
        return OTHER_WORD[value]
    return 2 * value if isinstance(value, int) else value / 3 or 0.25


def all_other() -> Config:
    """Return a configuration in which no setting has its default."""
    document = Config().to_dict()
    return Config.from_dict(
        {section: {key: other(key, value) for key, value in values.items()} for section, values in document.items()}
    )


def write(folder: Path, text: str | bytes) -> Path:
    path = folder / "settings.toml"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def test_without_a_file_everything_is_default():
    settings = resolve_settings()
    assert settings.config == Config()
    assert {setting.origin for setting in settings} == {"default"}


def test_every_setting_is_listed_once_with_its_value():
    listed = {setting.name: setting.value for setting in resolve_settings()}
    document = Config().to_dict()
    assert listed == {f"{section}.{key}": value for section in document for key, value in document[section].items()}
    assert len(list(resolve_settings())) == len(listed)


def test_set_overrides_the_file_and_the_file_the_default(tmp_path: Path):
    file = write(tmp_path, "[train]\nepochs = 3\nmixup = 0.5\n")
    settings = resolve_settings(file, ["train.epochs=7", "encoder.skip=false"])
    values = {setting.name: (setting.value, setting.origin) for setting in settings}
    assert values["train.epochs"] == (7, "--set")
    assert values["train.mixup"] == (0.5, str(file))
    assert values["encoder.skip"] == (False, "--set")
    assert values["train.batch_size"] == (Config().train.batch_size, "default")
    assert settings.config.train.epochs == 7


def test_the_last_of_two_assignments_wins():
    assert resolve_settings(None, ["train.epochs=7", "train.epochs=9"]).config.train.epochs == 9


def test_a_value_in_the_file_has_the_file_as_origin_even_if_it_equals_the_default(tmp_path: Path):
    file = write(tmp_path, f"[train]\nepochs = {Config().train.epochs}\n")
    assert resolve_settings(file).origins == {"train.epochs": str(file)}


@pytest.mark.parametrize("config", [Config(), all_other()], ids=["defaults", "nothing default"])
def test_a_configuration_written_as_toml_is_read_back_the_same(config: Config, tmp_path: Path):
    file = write(tmp_path, to_toml(config))
    settings = resolve_settings(file)
    assert settings.config == config
    assert {setting.origin for setting in settings} == {str(file)}
    assert settings.to_toml() == to_toml(config)


def test_numbers_keep_all_their_digits(tmp_path: Path):
    config = Config.from_dict({"train": {"learning_rate": 0.1 + 0.2, "weight_decay": 1e-7}})
    assert resolve_settings(write(tmp_path, to_toml(config))).config == config


def test_a_saved_configuration_is_accepted_by_config(tmp_path: Path):
    save_config(all_other(), tmp_path / "model.toml")
    assert resolve_settings(tmp_path / "model.toml").config == all_other()


def test_every_setting_can_be_set_on_the_command_line():
    assignments = [
        f"{section}.{key}={str(value).lower() if isinstance(value, bool) else value}"
        for section, values in all_other().to_dict().items()
        for key, value in values.items()
    ]
    settings = resolve_settings(None, assignments)
    assert settings.config == all_other()
    assert {setting.origin for setting in settings} == {"--set"}


def test_a_configuration_is_written_with_one_line_for_each_setting():
    config = all_other()
    lines = [line for line in to_toml(config).splitlines() if line and not line.startswith("[")]
    assert [line.split(" = ")[0] for line in lines] == [key for values in config.to_dict().values() for key in values]


@pytest.mark.parametrize("text", ["linear", '"linear"', " linear ", "'linear'"])
def test_a_word_needs_no_quotes(text: str):
    assert resolve_settings(None, [f"diffusion.schedule={text}"]).config.diffusion.schedule == "linear"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[train]\nepoch = 3\n", ('"train.epoch"', 'did you mean "epochs"?')),
        ("[trian]\nepochs = 3\n", ('"trian"', 'did you mean "train"?')),
        ("[train]\nepochs = 0\n", ("train.epochs must be at least 1", "got 0")),
        ("[train]\nepochs = true\n", ("train.epochs must be of type int",)),
        ("train = 5\n", ("train is a section",)),
        ("[train]\nepochs = \n", ("not valid TOML", "line 2")),
        ("[train]\nepochs = 1\nepochs = 2\n", ("not valid TOML",)),
        (b"\xff\xfe[\x00t\x00", ("not valid TOML",)),
    ],
)
def test_an_error_in_the_file_names_the_file(tmp_path: Path, text: str | bytes, words: tuple[str, ...]):
    file = write(tmp_path, text)
    with pytest.raises(InputFileError) as caught:
        resolve_settings(file)
    assert caught.value.message.startswith(f"{file}: ") and caught.value.exit_code == 4
    assert all(word in caught.value.message for word in words)


def test_an_invalid_value_in_the_file_is_an_error_even_if_set_overrides_it(tmp_path: Path):
    with pytest.raises(InputFileError, match=r"train\.epochs"):
        resolve_settings(write(tmp_path, "[train]\nepochs = 0\n"), ["train.epochs=5"])


@pytest.mark.parametrize("name", ["absent.toml", "."])
def test_a_file_that_cannot_be_read_is_a_usage_error(tmp_path: Path, name: str):
    with pytest.raises(UsageError, match="cannot be read") as caught:
        resolve_settings(tmp_path / name)
    assert str(tmp_path / name) in caught.value.message


@pytest.mark.parametrize("text", ["train.epochs", "epochs=3", "a.b.c=3", "=3", ""])
def test_a_malformed_assignment_is_quoted_with_an_example(text: str):
    with pytest.raises(ConfigError, match=r"section\.name=value") as caught:
        resolve_settings(None, [text])
    assert f'"{text}"' in caught.value.message and "train.epochs=20" in caught.value.hint


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("train.epoch=3", ('"train.epoch"', 'did you mean "epochs"?')),
        ("trian.epochs=3", ('"trian"', 'did you mean "train"?')),
        ("train.epochs=many", ("train.epochs must be of type int", "'many'")),
        ("train.epochs=", ("train.epochs must be of type int",)),
        ("train.epochs=-1", ("train.epochs must be at least 1", "-1")),
        ("train.mixup=nan", ("train.mixup", "nan")),
        ("diffusion.objective=w", ("diffusion.objective must be one of v, x0, eps, both", '"w"')),
    ],
)
def test_an_error_in_an_assignment_names_the_setting_and_the_value(text: str, words: tuple[str, ...]):
    with pytest.raises(ConfigError) as caught:
        resolve_settings(None, [text])
    assert all(word in caught.value.message for word in words)


@pytest.mark.parametrize("name", preset_names())
def test_a_preset_is_a_valid_configuration_and_the_origin_of_its_values(name: str):
    settings = resolve_settings(name)
    assert set(settings.origins.values()) == (set() if name == "default" else {f"preset {name}"})
    assert (settings.config == Config()) == (name == "default")
    assert resolve_settings(name, ["train.epochs=7"]).origins["train.epochs"] == "--set"


def test_a_file_takes_precedence_over_a_preset_of_that_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    for name in preset_names():
        Path(name).write_text("[train]\nepochs = 3\n")
        assert resolve_settings(name).origins == {"train.epochs": name}


def test_an_unknown_preset_is_an_error_with_the_nearest_name():
    with pytest.raises(
        UsageError, match=r'"defualt" is neither a file nor a preset \(did you mean "default"\?\)'
    ) as caught:
        resolve_settings("defualt")
    assert all(name in caught.value.hint for name in preset_names())
