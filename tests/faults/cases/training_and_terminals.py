"""Faults 66, 68 and 110 to 116: training, evaluation, terminals, help and class names."""

from __future__ import annotations

import csv
import json
import subprocess
import sys
from collections.abc import Callable, Sequence

import numpy as np

from revcd_cli.data.formats.path_encoding import decode_path

from ..runner import MEGABYTE, ROOT, Fault, Process, Run, Workspace
from ..shapes_model import shapes
from .class_tables import given, named, own_table, text
from .features import trained_on
from .unusual_images import scores

MANY = 50_000
MODEL = ("m.*",)


def many_classes(workspace: Workspace) -> list[str]:
    """Write a table of 50,000 classes for the model of the shapes, which has six attributes."""
    values = np.random.default_rng(0).uniform(0, 1, (MANY, 6)).round(3)
    rows = [[f"class {number}", *map(str, row)] for number, row in enumerate(values.tolist())]
    path = workspace.write("table.csv", text([["class", *(f"trait {k}" for k in range(6))], *rows]))
    photos = [workspace.good(f"{number}.png", seed=number) for number in range(4)]
    return workspace.predict(*photos, "--classes", path, "--model", shapes().model, "--weights", shapes().weights)


def bounded(workspace: Workspace, run: Run) -> None:
    few = [
        *workspace.predict(workspace.inputs / "0.png", "--model", shapes().model, "--weights", shapes().weights),
        "--overwrite",
    ]
    assert run.memory < workspace.run(few).memory + 500 * MEGABYTE


FORMULAS = ("=cmd()", "+1", "-1+1", "@SUM(1)", "a;=cmd()", 'a,"=cmd()', "a|+1", "\uff1dcmd()", "x\n=cmd()")


def for_a_spreadsheet(workspace: Workspace) -> list[str]:
    """Write classes and photos whose names are formulas, or become formulas with another separator."""
    header, row = own_table()[0], own_table()[1]
    lines = [list(header), *(['"' + name.replace('"', '""') + '"', *row[1:]] for name in FORMULAS)]
    photos = [workspace.good(name) for name in ("=1+1.png", "a;=1.png")]
    return [*workspace.predict(*photos, "--classes", workspace.write("table.csv", text(lines)), top_k=99), "--excel"]


def no_cell_is_a_formula(workspace: Workspace, run: Run) -> None:
    """Assert that with every separator no cell starts like a formula, except numbers."""
    content = workspace.answers.read_text("utf-8-sig")
    for separator in ",;\t|":
        for cells in csv.reader(content.splitlines(), delimiter=separator):
            for cell in cells:
                start = cell.lstrip(" \t\r\n\"'" if not cell.startswith("'") else "")[:1]
                if start and start in "=+-@\uff1d\uff0b\uff0d\uff20":
                    float(cell)  # raises if it is not a number


def train_on(change: Callable[[dict[str, np.ndarray]], None] = lambda arrays: None, *more: str) -> Callable:
    return lambda workspace: [*trained_on(change)(workspace), *more]


def listed(lines: Sequence[str]) -> Callable[[Workspace], list[str]]:
    """Return a function that trains on the shapes with another list of photos."""

    def make(workspace: Workspace) -> list[str]:
        folder = shapes().copy(workspace)
        (folder / "images.csv").write_text("\n".join(["path,class,split", *lines]))
        return shapes().train(workspace, folder)

    return make


def constant(arrays: dict[str, np.ndarray]) -> None:
    arrays["features"][:] = 1


def of_norm_0(arrays: dict[str, np.ndarray]) -> None:
    arrays["features"][:] = 0


def huge(arrays: dict[str, np.ndarray]) -> None:
    arrays["features"] *= 1e30


def old_model_is_whole(workspace: Workspace, run: Run) -> None:
    assert (workspace.outputs / "m.safetensors").read_text() == "old"


def onto_an_old_model(workspace: Workspace) -> list[str]:
    (workspace.outputs / "m.safetensors").write_text("old")
    return [*shapes().train(workspace, shapes().copy(workspace)), "--overwrite"]


def evaluated_without(*parts: str, only: str = "") -> Callable[[Workspace], list[str]]:
    """Return a function that trains on the shapes without the photos of a split part, and evaluates the model."""

    def make(workspace: Workspace) -> list[str]:
        folder = shapes().copy(workspace)
        lines = (folder / "images.csv").read_text().splitlines()
        kept = [line for line in lines if line.rsplit(",", 1)[1] not in parts and not (only and line.startswith(only))]
        (folder / "images.csv").write_text("\n".join(kept))
        assert workspace.run(shapes().train(workspace, folder)).code == 0
        model = str(workspace.outputs / "m.safetensors")
        features = str(shapes().features)
        return ["evaluate", "--dataset", str(folder), "--model", model, "--features", features, "--format", "json"]

    return make


def undefined(*names: str) -> Callable[[Workspace, Run], None]:
    def check(workspace: Workspace, run: Run) -> None:
        figures = json.loads(run.stdout)["figures"] if "figures" in run.stdout else json.loads(run.stdout)
        for name in ("acc_seen", "acc_unseen", "harmonic_mean", "acc_zsl"):
            assert (find(figures, name) is None) == (name in names), (name, run.stdout)

    return check


def find(document: dict, name: str) -> object:
    """Return the value of that name in nested dictionaries."""
    if name in document:
        return document[name]
    inner = [value for value in document.values() if isinstance(value, dict)]
    return next((found for value in inner if (found := find(value, name)) is not None), None)


def as_plain(workspace: Workspace, run: Run) -> None:
    """Assert that terminal variables do not change the JSON output."""
    plain = workspace.run(["predict", str(workspace.inputs), "--format", "json"])
    assert json.loads(run.stdout)["results"] == json.loads(plain.stdout)["results"]


TERMINALS = {
    "GITHUB_ACTIONS": {"GITHUB_ACTIONS": "1"},
    "FORCE_COLOR": {"FORCE_COLOR": "1"},
    "NO_COLOR": {"NO_COLOR": "1"},
    "20 columns": {"COLUMNS": "20"},
    "a dumb terminal": {"TERM": "dumb"},
}
IMPORTS = "import sys; from revcd_cli.__main__ import main; main(sys.argv[1:]); sys.exit('torch' in sys.modules)"


def without_torch(workspace: Workspace, run: Run) -> None:
    """Assert that a new process answers without importing torch."""
    fresh = subprocess.run([sys.executable, "-c", IMPORTS, "--help"], cwd=ROOT, capture_output=True, check=False)
    assert fresh.returncode == 0, fresh.stderr


def one_photo(*options: str) -> Callable[[Workspace], list[str]]:
    return lambda workspace: ["predict", workspace.good(), *options]


def keeps(name: str) -> Callable[[Workspace, Run], None]:
    """Return an assertion that every format contains the class name unchanged."""

    def check(workspace: Workspace, run: Run) -> None:
        with workspace.answers.open(newline="", encoding="utf-8") as stream:
            assert decode_path(next(csv.DictReader(stream))["class"]) == name
        command = ["predict", str(workspace.inputs / "good.png"), "--classes", str(workspace.inputs / "table.csv")]
        assert (
            json.loads(workspace.run([*command, "--format", "json"]).stdout)["results"][0]["candidates"][0]["class"]
            == name
        )
        assert workspace.run([*command, "--format", "table"]).code == 0
        assert scores(workspace)

    return check


def class_called(name: str) -> Fault:
    def make(workspace: Workspace) -> list[str]:
        lines = named(name)().splitlines()[:2]
        return [*given(lambda: "\n".join(lines))(workspace)[:-3], "1", "-o", str(workspace.answers)]

    return Fault(116, f"a class called {name[:20]!a}", make, 0, {"good.png": "ok"}, then=keeps(name))


ONE = "red/0.png,red,trainval"
FAULTS: Sequence[Fault] = (
    Fault(66, "50,000 classes", many_classes, 0, {f"{n}.png": "ok" for n in range(4)}, then=bounded),
    Fault(68, "names that are formulas", for_a_spreadsheet, then=no_cell_is_a_formula, leaves=("answers.csv",)),
    Fault(110, "one photo", listed([ONE]), 0, leaves=MODEL),
    Fault(110, "one class", listed([f"red/{n}.png,red,trainval" for n in range(6)]), 0, leaves=MODEL),
    Fault(110, "a batch beyond the data set", train_on(constant, "--set", "train.batch_size=1000"), 0, leaves=MODEL),
    Fault(110, "constant features", train_on(constant), 0, leaves=MODEL),
    Fault(110, "features of norm 0", train_on(of_norm_0), 0, leaves=MODEL),
    Fault(110, "features of 1e30", train_on(huge), 0, leaves=MODEL),
    Fault(
        110,
        "a loss that is not a number",
        onto_an_old_model,
        1,
        says=("The loss became nan in epoch 1 of the final phase", "learning_rate"),
        then=old_model_is_whole,
        process=Process(hook=("tests.faults.hooks", "make_loss_nan", 5)),  # after two folds of two epochs
    ),
    Fault(
        111,
        "no unseen photos",
        evaluated_without("test_unseen"),
        then=undefined("acc_unseen", "harmonic_mean", "acc_zsl"),
        leaves=MODEL,
    ),
    Fault(
        111, "no seen photos", evaluated_without("test_seen"), then=undefined("acc_seen", "harmonic_mean"), leaves=MODEL
    ),
    Fault(111, "a class without test photos", evaluated_without(only="red/7"), then=undefined(), leaves=MODEL),
    *(
        Fault(112, case, one_photo("--format", "json"), then=as_plain, process=Process(environment=environment))
        for case, environment in TERMINALS.items()
    ),
    Fault(113, "no network", one_photo(), says=("model animals, 109 classes",), process=Process(cold=True)),
    Fault(114, "predict --help", lambda workspace: ["predict", "--help"], says=("Usage: revcd predict",)),
    Fault(114, "--version", lambda workspace: ["--version"], says=("revcd 0.",), then=without_torch),
    Fault(115, "no command", lambda workspace: [], 2, says=("Usage: revcd",)),
    Fault(115, "predct", lambda workspace: ["predct"], 2, says=("Did you mean 'predict'",)),
    *map(class_called, ("斑马 🦓", "x" * 300, "none of these", "class", "path", "nan", "=1+1", "</script>", "[red]")),
)
