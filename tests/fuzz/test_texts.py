"""Property tests: arbitrary class tables, photo lists and settings are read, or refused with the error's position."""

from __future__ import annotations

import math
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from revcd_cli.config import Config
from revcd_cli.data.classes.attributes import read_attribute_csv, write_attribute_csv
from revcd_cli.data.datasets.images_csv import read_images_csv
from revcd_cli.errors import ConfigError, InputFileError, RevcdError
from revcd_cli.pipeline.settings import flat, resolve_settings, to_toml

CELLS = st.text(st.characters(exclude_categories=("Cs",)), max_size=6) | st.sampled_from(
    ("", "class", "1", "0.5", "-1", "#")
)
LINES = st.lists(st.lists(CELLS, max_size=4), max_size=4)
NUMBERS = st.floats(width=32, allow_nan=False, allow_infinity=False)
NAMES = st.text(st.characters(exclude_categories=("Cs", "Cc")), min_size=1, max_size=8)

unhurried = settings(deadline=None)


def read(content: bytes, *, missing: str = "error") -> Any:
    """Read a class table; return it, or the error after checking its position."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "t.csv"
        path.write_bytes(content)
        try:
            return read_attribute_csv(path, missing=missing)
        except InputFileError as error:
            assert error.message.startswith(str(path)) and len(error.message) <= 2_000
            assert error.line is None or 1 <= error.line <= content.count(b"\n") + content.count(b"\r") + 1
            return error


@unhurried
@given(
    LINES,
    st.sampled_from(",;\t"),
    st.sampled_from(("\n", "\r\n", "\r")),
    st.sampled_from(("utf-8", "utf-16", "utf-8-sig")),
)
def test_a_table_of_any_cells_is_read_or_refused(lines: list[list[str]], separator: str, end: str, encoding: str):
    table = read(end.join(separator.join(cells) for cells in lines).encode(encoding), missing="mean")
    if not isinstance(table, InputFileError):
        assert np.isfinite(table.values).all() and table.values.shape == (len(table.names), len(table.attributes))
        assert all(name and name == name.strip() for name in (*table.names, *table.attributes))


@unhurried
@given(st.binary(max_size=60) | st.text(max_size=60).map(lambda text: text.encode("utf-8", "surrogatepass")))
@example(b"class,a\nx,\xff")
@example(b'class,a\n"x')
def test_a_table_of_any_bytes_is_read_or_refused(content: bytes):
    read(content)
    read(b"class,a\nzebra,1\n" + content)


@unhurried
@given(st.lists(st.tuples(NAMES, st.lists(NUMBERS, min_size=2, max_size=2)), min_size=1, max_size=4))
@example([("#", [0.0, 1.0]), ("# 2", [0.5, 1e-9])])
def test_a_table_is_the_same_after_writing_and_reading(rows: list[tuple[str, list[float]]]):
    lines = ["class,a,b", *('"{}",{},{}'.format(name.replace('"', '""'), *values) for name, values in rows)]
    table = read("\n".join(lines).encode())
    if isinstance(table, InputFileError):
        return
    with tempfile.TemporaryDirectory() as folder:
        write_attribute_csv(Path(folder) / "t.csv", table)
        again = read_attribute_csv(Path(folder) / "t.csv")
    assert (again.names, again.attributes) == (table.names, table.attributes)
    np.testing.assert_array_equal(again.values, table.values)


@unhurried
@given(LINES, st.sampled_from(",;"))
def test_a_photo_list_of_any_cells_is_read_or_refused(lines: list[list[str]], separator: str):
    classes = read(b"class,a\nzebra,1\nokapi,2\n")
    head = [["path", "class", "split"], ["a.jpg", "zebra", "trainval"]]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "images.csv"
        path.write_text("\n".join(separator.join(cells) for cells in head + lines), encoding="utf-8", newline="")
        try:
            dataset = read_images_csv(path, classes, images_root=Path(folder))
        except InputFileError as error:
            assert str(path) in error.message
        else:
            assert len(set(dataset.paths)) == len(dataset.paths) == len(dataset.labels)


SETTINGS = dict(flat(Config().to_dict()))
VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=9)
    | st.sampled_from(list(SETTINGS.values())),
    lambda inside: st.lists(inside, max_size=2) | st.dictionaries(st.text(max_size=9), inside, max_size=2),
    max_leaves=3,
)
SECTIONS = st.sampled_from(list(Config().to_dict())) | st.text(max_size=9)
KEYS = st.sampled_from([name.split(".")[1] for name in SETTINGS]) | st.text(max_size=9)


@unhurried
@given(st.dictionaries(SECTIONS, st.dictionaries(KEYS, VALUES, max_size=3) | VALUES, max_size=3))
def test_settings_of_any_values_are_accepted_or_refused(values: dict[str, Any]):
    try:
        config = Config.from_dict(values)
    except ConfigError as error:
        assert len(error.message) <= 2_000
        return
    assert Config.from_dict(config.to_dict()) == config
    assert all(not isinstance(value, float) or math.isfinite(value) for _, value in flat(config.to_dict()))


@unhurried
@given(st.sampled_from(sorted(SETTINGS)), VALUES)
def test_a_setting_of_any_value_is_kept_exactly_or_refused(name: str, value: Any):
    section, key = name.split(".")
    try:
        config = Config.from_dict({section: {key: value}})
    except ConfigError as error:
        assert section in error.message or key in error.message
        return
    assert config.to_dict()[section][key] == value
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "c.toml"
        path.write_text(to_toml(config), encoding="utf-8")
        assert resolve_settings(path).config == config


@unhurried
@given(st.text(max_size=60), st.lists(st.text(max_size=20), max_size=2))
def test_toml_and_assignments_of_any_text_are_accepted_or_refused(content: str, assignments: list[str]):
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "c.toml"
        path.write_text(content, encoding="utf-8", errors="replace", newline="")
        try:
            resolve_settings(path, assignments)
        except RevcdError as error:
            assert len(error.message) <= 2_000


@pytest.mark.parametrize("text", ["x = " + "[" * 5_000, "x = " + "{a=" * 5_000, "a." * 5_000 + "b = 1"])
def test_deeply_nested_toml_is_refused(tmp_path: Path, text: str):
    (tmp_path / "c.toml").write_text(text)
    with pytest.raises(RevcdError):
        resolve_settings(tmp_path / "c.toml")
    with pytest.raises(RevcdError):
        resolve_settings(None, [f"train.{text.replace(' ', '')}"])
