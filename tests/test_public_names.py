"""The public names of the package: each can be imported, and type checkers see the same ones."""

from __future__ import annotations

import ast
from importlib import import_module
from pathlib import Path

import pytest

import revcd_cli

PACKAGE = Path(revcd_cli.__file__).parent


@pytest.mark.parametrize("name", sorted(set(revcd_cli.__all__) - {"__version__"}))
def test_a_public_name_is_the_one_that_its_module_defines(name: str):
    public = getattr(revcd_cli, name)
    assert public.__name__ == name
    assert getattr(import_module(public.__module__), name) is public


def test_the_imports_for_type_checkers_are_the_public_names_and_their_modules():
    tree = ast.parse((PACKAGE / "__init__.py").read_text("utf-8"))
    (block,) = (node for node in tree.body if isinstance(node, ast.If))
    seen = {
        alias.name: f".{node.module}"
        for node in ast.walk(block)
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }
    assert seen == {name: revcd_cli._MODULES[name] for name in revcd_cli.__all__ if name != "__version__"}


def test_an_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="has no attribute 'Predictors'"):
        _ = revcd_cli.Predictors


def test_the_package_is_marked_as_typed():
    assert (PACKAGE / "py.typed").read_bytes() == b""
