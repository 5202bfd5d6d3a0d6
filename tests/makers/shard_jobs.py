"""A job over shards that records where it runs, and that kills its process at a chosen shard."""

from __future__ import annotations

import itertools
import os
import signal
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from revcd_cli.pipeline.shards.jobs import FeatureJob


@dataclass(frozen=True)
class WatchedJob(FeatureJob):
    """Features, with a file for each computed shard in `folder` that names its process and Ray node.

    A file kill-NAME in the folder, where NAME.png is the first photo of a shard, ends the process that begins this
    shard; the file is removed before, unless its content is "always". seconds: that each shard takes longer.
    """

    folder: str = ""
    seconds: float = 0.0

    def shard_table(self, sources: Any, on_photo: Any = None) -> Any:
        given: Iterator[Any] = iter(sources)
        first = next(given)
        order, name = Path(self.folder, f"kill-{Path(first.path).stem}"), f"{Path(first.path).stem}-{os.getpid()}"
        if order.exists():
            if order.read_text() != "always":
                order.unlink()
            os.kill(os.getpid(), signal.SIGKILL)
        time.sleep(self.seconds)
        result = super().shard_table(itertools.chain([first], given), on_photo)
        Path(self.folder, f"done-{name}").write_text(_node())
        return result


def _node() -> str:
    try:
        import ray
    except ImportError:
        return ""
    return ray.get_runtime_context().get_node_id() if ray.is_initialized() else ""


def order_kill(folder: Path, photo: int, *, always: bool = False) -> None:
    (folder / f"kill-{photo}").write_text("always" if always else "once")


def nodes_used(folder: Path) -> set[str]:
    return {path.read_text() for path in folder.glob("done-*")}
