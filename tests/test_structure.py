"""The architecture of docs/architecture.md, checked on the import statements.

A module imports from its own room (a top-level folder of the package) and the rooms below it, without circular imports.
Failures name the statement as file:line.
"""

from __future__ import annotations

import ast
import graphlib
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "revcd_cli"
LONGEST_FILE = 350  # lines
LARGEST_FOLDER = 14  # modules

# For each room, the other rooms that it may import.
BASE = {"version", "errors", "config"}
ROOMS: dict[str, set[str]] = {
    "version": set(),
    "root": {"version"},  # __init__: names that are imported on first use; no module imports it
    "errors": set(),
    "config": {"errors"},
    "system": BASE,
    "core": {"config"},
    "metrics": set(),
    "scoring": {"errors", "config", "core", "metrics", "system"},
    "baselines": {"config", "core", "metrics", "scoring"},
    "backbones": BASE | {"system"},
    "data": BASE | {"system"},
    "checkpoint": BASE | {"system", "core", "scoring", "data"},
}
ROOMS["pipeline"] = BASE | {"system", "core", "metrics", "scoring", "baselines", "backbones", "data", "checkpoint"}
ROOMS["reports"] = ROOMS["pipeline"] | {"pipeline"}
ROOMS["cli"] = ROOMS["reports"] | {"reports"}
ROOMS["__main__"] = BASE | {"cli"}

HEAVY = {"torch", "torchvision", "timm", "numpy", "scipy", "PIL", "pyarrow", "matplotlib", "safetensors", "jinja2"}
MATHEMATICS = {"__future__", "collections", "copy", "dataclasses", "enum", "functools", "itertools", "math", "typing"}


class Import(NamedTuple):
    """One import statement: what it imports, and its position."""

    package: str  # a third-party package, such as "torch"; "" for revcd's own modules
    module: str  # revcd's own module, such as "data/photos/images"; "" for third-party packages
    line: int
    at_start: bool  # runs when the module is imported
    for_types: bool  # is below `if TYPE_CHECKING`


def module_name(path: Path) -> str:
    return path.relative_to(PACKAGE).with_suffix("").as_posix()


MODULES = {module_name(path): ast.parse(path.read_text("utf-8")) for path in sorted(PACKAGE.rglob("*.py"))}


def room(module: str) -> str:
    return "root" if module == "__init__" else module.split("/")[0]


def imports(module: str) -> list[Import]:
    return list(_imports(module, MODULES[module], at_start=True, for_types=False))


def _imports(module: str, node: ast.AST, *, at_start: bool, for_types: bool) -> Iterator[Import]:
    for child in ast.iter_child_nodes(node):
        later = isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef)
        types = isinstance(child, ast.If) and "TYPE_CHECKING" in ast.dump(child.test)
        if isinstance(child, ast.Import):
            yield from (Import(a.name.split(".")[0], "", child.lineno, at_start, for_types) for a in child.names)
        elif isinstance(child, ast.ImportFrom):
            if not child.level:
                yield Import((child.module or "").split(".")[0], "", child.lineno, at_start, for_types)
                continue
            folder = module.split("/")[:-1]
            base = [*folder[: len(folder) - child.level + 1], *(child.module.split(".") if child.module else ())]
            for alias in child.names:
                yield Import("", _existing(base, alias.name), child.lineno, at_start, for_types)
        else:
            deeper = _imports(module, child, at_start=at_start and not later, for_types=for_types or types)
            yield from deeper


def _existing(base: list[str], name: str) -> str:
    """Return the module that `from base import name` loads."""
    for candidate in ("/".join([*base, name]), "/".join([*base, name, "__init__"]), "/".join(base)):
        if candidate in MODULES:
            return candidate
    return "/".join([*base, "__init__"])


def calls(module: str) -> Iterator[tuple[str, int]]:
    for node in ast.walk(MODULES[module]):
        if isinstance(node, ast.Call):
            yield ast.unparse(node.func), node.lineno


def in_rooms(*names: str) -> list[str]:
    return [module for module in MODULES if room(module) in names]


def test_every_room_is_listed():
    assert {room(module) for module in MODULES} == set(ROOMS)


def test_imports_follow_the_direction():
    wrong = [
        f"revcd_cli/{module}.py:{each.line} imports {each.module}"
        for module in MODULES
        for each in imports(module)
        if each.module and not each.for_types and room(each.module) not in ROOMS[room(module)] | {room(module)}
    ]
    assert not wrong, "\n".join(wrong)


def test_there_are_no_circular_imports():
    uses = {
        module: {each.module for each in imports(module) if each.module not in ("", module) and not each.for_types}
        for module in MODULES
    }
    graphlib.TopologicalSorter(uses).prepare()  # raises CycleError, which names the modules


def test_core_imports_only_torch_and_mathematics():
    foreign = [
        f"revcd_cli/{module}.py:{each.line} imports {each.package}"
        for module in in_rooms("core")
        for each in imports(module)
        if each.package and each.package not in MATHEMATICS | {"torch"}
    ]
    touches = [
        f"revcd_cli/{module}.py:{line} calls {name}"
        for module in in_rooms("core")
        for name, line in calls(module)
        if name in {"open", "print"}
    ]
    assert not foreign + touches, "\n".join(foreign + touches)


def test_only_cli_prints():
    others = [module for module in MODULES if room(module) not in ("cli", "__main__")]
    libraries = [
        f"revcd_cli/{module}.py:{each.line} imports {each.package}"
        for module in others
        for each in imports(module)
        if each.package in {"typer", "rich", "click"}
    ]
    prints = [
        f"revcd_cli/{module}.py:{line} calls {name}"
        for module in others
        for name, line in calls(module)
        if name in {"print", "sys.exit", "exit", "quit", "input"}
    ]
    assert not libraries + prints, "\n".join(libraries + prints)


def test_data_does_not_import_networks():
    wrong = [
        f"revcd_cli/{module}.py:{each.line} imports {each.package}"
        for module in in_rooms("data")
        for each in imports(module)
        if each.package in {"timm", "torchvision"}
    ]
    assert not wrong, "\n".join(wrong)


def test_heavy_packages_are_not_imported_before_a_command_runs():
    wrong = [
        f"revcd_cli/{module}.py:{each.line} imports {each.package}"
        for module in in_rooms("cli", "root", "version", "errors", "config", "__main__")
        for each in imports(module)
        if each.at_start and not each.for_types and each.package in HEAVY
    ]
    assert not wrong, "\n".join(wrong)


def test_no_file_is_longer_than_the_limit():
    paths = [*PACKAGE.rglob("*.py"), *(ROOT / "tests").rglob("*.py")]
    lengths = {path: len(path.read_text("utf-8").splitlines()) for path in paths}
    long = [f"{path.relative_to(ROOT)}: {lines} lines" for path, lines in lengths.items() if lines > LONGEST_FILE]
    assert not long, "\n".join(long)


def test_no_folder_has_more_modules_than_the_limit():
    folders = [PACKAGE, *(path for path in PACKAGE.rglob("*") if path.is_dir())]
    counts = {folder: len(list(folder.glob("*.py"))) for folder in folders}
    large = [f"{path.relative_to(ROOT)}: {count} modules" for path, count in counts.items() if count > LARGEST_FOLDER]
    assert not large, "\n".join(large)


def test_every_package_has_a_docstring():
    silent = [module for module, tree in MODULES.items() if module.endswith("__init__") and not ast.get_docstring(tree)]
    assert not silent, "\n".join(silent)
