"""Files as MegaDetector writes them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

CATEGORIES = {"1": "animal", "2": "person", "3": "vehicle"}


def detection(conf: float, *bbox: float, category: str = "1") -> dict[str, Any]:
    return {"category": category, "conf": conf, "bbox": list(bbox) or [0.1, 0.2, 0.5, 0.4]}


def write_detections(path: Path, images: dict[str, Any], **info: Any) -> Path:
    """Write a file. images: by name, a list of detections, or the text of a failure."""
    entries = [
        {"file": name, "failure": found, "detections": None}
        if isinstance(found, str)
        else {"file": name, "detections": found}
        for name, found in images.items()
    ]
    document = {
        "info": {"format_version": "1.4", "detector": "md_v5a.0.0.pt", **info},
        "detection_categories": CATEGORIES,
        "images": entries,
    }
    path.write_text(json.dumps(document), "utf-8")
    return path
