"""Download the files of a benchmark into a data root, from the authors' archive or from a mirror."""

from __future__ import annotations

import shutil
import stat
import zipfile
from collections.abc import Callable
from pathlib import Path, PurePosixPath
from urllib.parse import urlsplit
from urllib.request import url2pathname

from ...errors import DownloadError, RevcdError, UsageError, brief
from ...system.files import atomic_write
from ..datasets.registry import (
    ARCHIVE_NAME,
    ARCHIVE_URL,
    Benchmark,
    data_roots,
    get_benchmark,
    missing_files,
    where_to_put,
)
from .download import ProgressCallback, download, human_size

_MAT_MAGIC = b"MATLAB"  # of versions 5 and 7.3; rules out the error page of a web server


def download_benchmark(
    name: str,
    data_root: Path | None = None,
    *,
    url: str | None = None,
    keep_archive: bool = False,
    on_progress: ProgressCallback | None = None,
    on_note: Callable[[str], None] | None = None,
) -> Path:
    """Download the missing files of a benchmark, and return their folder below the data root.

    url: another copy of the archive (it ends in .zip), or of the folder with the files; also a path on this machine.
    Existing files are not changed. Raises `DownloadError`; `UsageError` for an unknown name, or if it needs a url.
    """
    benchmark = get_benchmark(name)
    root = data_roots(data_root)[0]
    folder = root / benchmark.folder
    note = on_note or (lambda text: None)
    missing = missing_files(benchmark, folder)
    if not missing:
        note(f"{folder} already contains {' and '.join(benchmark.files)}.")
        return folder
    if url is None and not benchmark.in_archive:
        raise UsageError(
            f"{benchmark.title} is not in {ARCHIVE_URL}, so its address is needed.",
            hint=where_to_put(benchmark, data_root),
        )
    try:
        if url is not None and not urlsplit(url).path.casefold().endswith(".zip"):
            _download_files(_as_address(url), folder, missing, on_progress)
        else:
            _download_archive(url, root, benchmark, missing, keep_archive, on_progress, note)
    except DownloadError as error:
        raise DownloadError(error.message, hint=error.hint or where_to_put(benchmark, data_root)) from error
    return folder


def _as_address(url: str) -> str:
    """Return the file address of a path on this machine; other addresses are returned unchanged."""
    path = Path(url).expanduser()
    return path.resolve().as_uri() if path.exists() else url


def _download_files(base: str, folder: Path, names: tuple[str, ...], on_progress: ProgressCallback | None) -> None:
    for name in names:
        path = download(f"{base.rstrip('/')}/{name}", folder / name, on_progress=on_progress)
        with path.open("rb") as stream:
            beginning = stream.read(len(_MAT_MAGIC))
        if beginning != _MAT_MAGIC:
            path.unlink()
            raise DownloadError(f"{base}: its file {name} is not a MATLAB file.")


def _download_archive(
    url: str | None,
    root: Path,
    benchmark: Benchmark,
    names: tuple[str, ...],
    keep: bool,
    on_progress: ProgressCallback | None,
    note: Callable[[str], None],
) -> None:
    address = _as_address(url or ARCHIVE_URL)
    if urlsplit(address).scheme == "file":  # no copy is needed
        _unpack(Path(url2pathname(urlsplit(address).path)), root / benchmark.folder, benchmark, names)
        return
    archive = root / (ARCHIVE_NAME if url is None else f"{benchmark.folder}.zip")
    kept_before = archive.is_file()
    if kept_before:
        note(f"Using the existing file {archive}.")
    else:
        download(address, archive, on_progress=on_progress)
    try:
        _unpack(archive, root / benchmark.folder, benchmark, names)
    except DownloadError:  # not the expected archive; after other failures, such as a full disk, it is kept
        if not kept_before:
            archive.unlink(missing_ok=True)
        raise
    if not kept_before and not keep:
        archive.unlink(missing_ok=True)


def _unpack(archive: Path, folder: Path, benchmark: Benchmark, names: tuple[str, ...]) -> None:
    """Extract the named files of one benchmark to the folder."""
    try:
        with zipfile.ZipFile(archive) as opened:
            members = [_member(opened, benchmark, name) for name in names]
            _check_space(folder, sum(member.file_size for member in members))
            for name, member in zip(names, members, strict=True):
                with opened.open(member) as source, atomic_write(folder / name) as target:
                    shutil.copyfileobj(source, target, 1 << 20)
    except RevcdError:
        raise
    except OSError as error:
        raise RevcdError(f"{archive}: cannot be unpacked into {folder} ({error.strerror or error}).") from error
    except Exception as error:  # zipfile raises many types for corrupt bytes
        raise DownloadError(f"{archive}: is not a complete zip archive ({brief(error)}).") from error


def _member(opened: zipfile.ZipFile, benchmark: Benchmark, name: str) -> zipfile.ZipInfo:
    """Return the member `.../FOLDER/name`, which must be exactly one regular file."""
    found = []
    for member in opened.infolist():
        path = PurePosixPath(member.filename)
        safe = not path.is_absolute() and ".." not in path.parts and "\\" not in member.filename
        plain = not member.is_dir() and not stat.S_ISLNK(member.external_attr >> 16)
        wanted = path.parts[-2:] == (benchmark.folder, name) and "__MACOSX" not in path.parts
        if safe and plain and wanted:
            found.append(member)
    if len(found) != 1:
        raise DownloadError(f"{opened.filename}: contains {len(found)} files {benchmark.folder}/{name}; expected one.")
    return found[0]


def _check_space(folder: Path, n_bytes: int) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    free = shutil.disk_usage(folder).free
    if free < n_bytes:
        raise RevcdError(f"{folder}: the files take {human_size(n_bytes)} and {human_size(free)} are free.")
