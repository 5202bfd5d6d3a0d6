"""The architecture, read from the import statements: what each layer may use, and how long a file may be."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "revcd_cli"
MODULES = {path.relative_to(PACKAGE).with_suffix("").as_posix(): path for path in sorted(PACKAGE.rglob("*.py"))}
LONGEST = 350  # lines

LEAVES = {"__init__", "errors", "config", "files", "offline"}
HEAVY = {"torch", "torchvision", "timm", "numpy", "scipy", "PIL", "pyarrow", "matplotlib", "safetensors", "jinja2"}
PURE = {"__future__", "collections", "copy", "dataclasses", "enum", "functools", "itertools", "math", "typing"}
LAYERS = {  # which layers a layer may import, beside itself and the leaves
    "leaf": set(),
    "core": set(),
    "data": {"core"},
    "engine": {"core", "data"},
    "pipeline": {"core", "data", "engine"},
    "cli": {"core", "data", "engine", "pipeline"},
    "__main__": {"cli"},
}


def layer(module: str) -> str:
    """Name the layer of a module; what lies at the top and is no leaf (backbone, checkpoint, ...) is the engine."""
    top = module.split("/")[0]
    if top in LEAVES:
        return "leaf"
    return top if top in LAYERS else "engine"


def parse(module: str) -> ast.Module:
    return ast.parse(MODULES[module].read_text("utf-8"))


def imports(module: str, tree: ast.AST) -> Iterator[str]:
    """Yield what is imported: "package" of another project, or "./data/images" of this one."""
    folder = module.split("/")[:-1]
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name.split(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and not node.level:
            yield node.module.split(".")[0]
        elif isinstance(node, ast.ImportFrom):
            base = [*folder[: len(folder) - node.level + 1], *(node.module.split(".") if node.module else ())]
            for alias in node.names:
                inner = "/".join([*base, alias.name])
                is_module = inner in MODULES or f"{inner}/__init__" in MODULES
                yield "./" + (inner if is_module else "/".join(base) or "__init__")


def at_import(tree: ast.Module) -> Iterator[ast.stmt]:
    """Yield the statements that run when a module is imported: no function bodies, nothing for type checkers only."""
    for node in tree.body:
        typing_only = isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test)
        if not typing_only and not isinstance(node, ast.FunctionDef | ast.ClassDef):
            yield node


def calls(tree: ast.AST) -> set[str]:
    return {ast.unparse(node.func) for node in ast.walk(tree) if isinstance(node, ast.Call)}


def in_layer(*names: str) -> list[str]:
    return [module for module in MODULES if layer(module) in names]


@pytest.mark.parametrize("module", MODULES)
def test_a_module_imports_only_from_layers_below_its_own(module: str):
    own = layer(module)
    used = {layer(name[2:]) for name in imports(module, parse(module)) if name.startswith("./")}
    assert used <= LAYERS[own] | {own, "leaf"}


@pytest.mark.parametrize("module", in_layer("core"))
def test_core_is_torch_and_mathematics_only(module: str):
    foreign = {name for name in imports(module, parse(module)) if not name.startswith("./")}
    own = {name for name in imports(module, parse(module)) if name.startswith("./")}
    assert foreign <= PURE | {"torch"}
    assert "./files" not in own
    assert not calls(parse(module)) & {"open", "print"}


@pytest.mark.parametrize("module", [module for module in MODULES if layer(module) not in ("cli", "__main__")])
def test_only_the_command_line_knows_the_terminal(module: str):
    tree = parse(module)
    assert not set(imports(module, tree)) & {"typer", "rich", "click"}
    assert not calls(tree) & {"print", "sys.exit", "exit", "quit", "input"}


@pytest.mark.parametrize("module", in_layer("data"))
def test_data_builds_no_networks(module: str):
    assert not set(imports(module, parse(module))) & {"timm", "torchvision"}


@pytest.mark.parametrize("module", in_layer("cli", "leaf", "__main__"))
def test_nothing_heavy_is_imported_before_a_command_runs(module: str):
    loaded = {name for statement in at_import(parse(module)) for name in imports(module, statement)}
    assert not loaded & HEAVY


@pytest.mark.parametrize(
    "path", [*MODULES.values(), *sorted((ROOT / "tests").rglob("*.py"))], ids=lambda path: path.name
)
def test_a_file_can_be_read_in_one_sitting(path: Path):
    assert len(path.read_text("utf-8").splitlines()) <= LONGEST
