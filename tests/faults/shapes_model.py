"""A data set of drawn shapes, its features and a model trained on it, shared by several cases."""

from __future__ import annotations

import functools
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path

from tests.makers.shapes import SMALL, make_folder

from .runner import Process, Run, Workspace, shared_folder

BACKBONE = "test_resnet.r160_in1k"  # timm's smallest
SETTINGS = [part for setting in SMALL for part in ("--set", setting)]


@dataclass(frozen=True)
class Shapes:
    """Shared files, which no case may change; `copy` copies the data set into a case's inputs."""

    folder: Path
    weights: Path  # of the backbone, random
    features: Path
    model: Path

    def copy(self, workspace: Workspace) -> Path:
        """Copy the data set's folder into `workspace.inputs` and return the copy."""
        return Path(shutil.copytree(self.folder, workspace.inputs / "shapes"))

    def train(self, workspace: Workspace, folder: Path, *more: object, features: Path | None = None) -> list[str]:
        """Return the arguments that train on a folder with the features (default: the shared ones)."""
        options = ["--features", str(features or self.features), *SETTINGS]
        return [
            "train",
            "--dataset",
            str(folder),
            *options,
            "-o",
            str(workspace.outputs / "m.safetensors"),
            *map(str, more),
        ]

    @property
    def backbone(self) -> list[str]:
        return ["--backbone", BACKBONE, "--weights", str(self.weights)]


@functools.cache
def shapes() -> Shapes:
    root = Path(tempfile.mkdtemp(prefix="shapes-", dir=shared_folder()))
    workspace = Workspace(root)
    made = Shapes(
        make_folder(workspace.inputs / "shapes"),
        root / "tiny.safetensors",
        workspace.outputs / "features.npz",
        workspace.outputs / "m.safetensors",
    )
    done(
        workspace.run(["--version"], Process(hook=("tests.faults.hooks", "save_weights", BACKBONE, str(made.weights))))
    )
    done(workspace.run(["extract", str(made.folder), "-o", str(made.features), *made.backbone]))
    done(workspace.run(made.train(workspace, made.folder)))
    return made


def done(run: Run) -> None:
    assert run.code == 0, run.output
