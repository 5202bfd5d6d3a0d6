"""Count the files of a folder that are passed over: made by storage systems, of other formats, or drawn by revcd."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass, field
from pathlib import PurePosixPath

from ...errors import listed
from ..findings import NOTE, WARNING, Finding

OWN_MARK = b"tEXtSoftware\0revcd"  # in the PNG files that revcd draws, see `reports.plots.figures`
_MARK_BYTES = 512  # of the beginning of a PNG file, which hold the mark
_NAMED = 6  # kinds that a sentence lists

# Compared without regard to case. Names that begin with "." are skipped, too.
_STORAGE_NAMES = {
    *("__macosx", "network trash folder", "temporary items", "icon\r"),  # macOS
    *("thumbs.db", "thumbs.db:encryptable", "ehthumbs.db", "ehthumbs_vista.db", "desktop.ini"),  # Windows
    *("$recycle.bin", "recycler", "recycled", "system volume information", "msocache"),
    *("@eadir", "@tmp", "@synoeastream", "@synoresource", "@sharebin", "#recycle", "#snapshot"),  # Synology
    *("@recycle", "@recently-snapshot", "@__thumb", "@upload_cache"),  # QNAP
    *("lost+found", "lost.dir", "_gsdata_", "__thumbs", "__thumbnails", "__pycache__"),
    *("ipod photo cache", "picasa.ini", "zbthumbnail.info"),
}
_STORAGE_PATTERN = re.compile(
    r"synofile_thumb_.*|synophoto_(thumb|film)_.*|.*@synoeastream|.*@synoresource|.*\.lrdata|~\$.*|.*\.sync-conflict-.*"
    r"|found\.[0-9]{3}",
    re.IGNORECASE,
)
# Data and text that usually lie beside photos; they are not mentioned.
_COMPANIONS = {
    *(".csv", ".tsv", ".txt", ".md", ".rst", ".log", ".json", ".jsonl", ".xml", ".html", ".htm", ".css", ".js"),
    *(".toml", ".yaml", ".yml", ".ini", ".cfg", ".parquet", ".npz", ".npy", ".mat", ".safetensors", ".py", ".sh"),
    *(".xmp", ".thm", ".pp3", ".dop", ".aae", ".db", ".lock", ".state", ".sha256", ".md5", ".lnk", ".url", ".bib"),
}


def is_storage_name(name: str) -> bool:
    """Return whether a file or folder of this name is hidden, or made by a storage system or another program."""
    if name.startswith(".") and name != "..":
        return True
    return name.casefold() in _STORAGE_NAMES or _STORAGE_PATTERN.fullmatch(name) is not None


def has_storage_part(path: str) -> bool:
    """Return whether a folder or the name of a relative path is skipped when folders are listed."""
    return any(is_storage_name(part) for part in PurePosixPath(path).parts)


def is_own_picture(path: str) -> bool:
    """Return whether a PNG file was drawn by revcd: a plot beside a model or in a report."""
    if not path.lower().endswith(".png"):
        return False
    try:
        with open(path, "rb") as stream:  # noqa: PTH123 (paths are text, see sources.py)
            return OWN_MARK in stream.read(_MARK_BYTES)
    except OSError:
        return False


@dataclass
class PassedOver:
    """What a listing of folders and archives passed over."""

    formats: Counter[str] = field(default_factory=Counter)  # by suffix, as written
    storage: Counter[str] = field(default_factory=Counter)  # by name; a folder counts once
    own: int = 0  # pictures drawn by revcd
    raw: bool = False  # whether photos in a raw format of a camera are among the formats

    def add_file(self, name: str, *, is_raw: bool) -> None:
        """Count a file that is not a photo by its name."""
        suffix = PurePosixPath(name).suffix
        if suffix.lower() not in _COMPANIONS:
            self.formats[suffix or "without a suffix"] += 1
            self.raw = self.raw or is_raw

    def findings(self) -> list[Finding]:
        """Return a warning about other formats, and notes about what was skipped."""
        found = []
        if self.formats:
            count = self.formats.total()
            files = f"{count:,} files are no photos" if count > 1 else "1 file is no photo"
            raw = " Photos in a raw format are read if they are named one by one, or in images.csv." if self.raw else ""
            text = f"{files} that revcd reads in a folder: {_counts(self.formats)}.{raw}"
            found.append(Finding(WARNING, "other formats", text, items=tuple(sorted(self.formats))))
        if self.storage:
            text = f"Skipped, because storage systems and programs make them: {_counts(self.storage)}."
            found.append(Finding(NOTE, "storage files", text, items=tuple(sorted(self.storage))))
        if self.own:
            text = f"Skipped, because revcd drew them: {self.own:,} PNG file{'s' * (self.own > 1)}."
            found.append(Finding(NOTE, "plots of revcd", text))
        return found


def _counts(counts: Counter[str]) -> str:
    return listed([f"{count:,} {name}" for name, count in counts.most_common()], _NAMED)
