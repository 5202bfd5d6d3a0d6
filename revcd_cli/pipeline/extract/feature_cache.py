"""The cache of the features that commands extract for their datasets.

The name of a file is a digest of the backbone and of the photos' paths, sizes and modification times. Two photos that
were swapped have equal ones, so the file `NAME.photos` beside it holds a digest that includes the inodes and the times
of the last change of the files. If it differs, the sha256 of each photo is compared with the one stored with its
feature. Features are therefore used only for photos with the bytes that they were computed from.

Features in a precision that was asked for are stored under a name of their own, which ends in the precision. With the
precision "auto", those of any precision under the common name are used.
"""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import json
import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import platformdirs

from ...config import BackboneRecord
from ...data.features.feature_set import FeatureSet
from ...data.features.files import read_features
from ...data.photos.image_source import ImageSource, failed_source, file_source
from ...data.photos.images import ImageFailure
from ...errors import InputFileError, RevcdError
from ...system.files import write_bytes

OnNote = Callable[[str], None]
Listing = Callable[[], Iterator[ImageSource]]

# Reasons of failures that may not recur although the photo has not changed.
_TRANSIENT = {"permission", "out_of_memory", "vanished", "not_found"}


def features_cache() -> Path:
    """Return the folder of the cache."""
    return Path(platformdirs.user_cache_dir("revcd")) / "features"


def photos_of(folder: Path, paths: Sequence[str]) -> Iterator[ImageSource]:
    """Yield the photos of a dataset, with their paths as in the dataset."""
    for path in paths:
        photo = file_source(str(folder / path), path)
        yield photo if photo.signature else failed_source(path, ImageFailure("not_found", "no such file"))


def find_cached(
    dataset: str, folder: Path, photos: Listing, record: BackboneRecord, precision: str, note: OnNote
) -> tuple[str, FeatureSet | None]:
    """Return the features of these photos by this backbone with their file's name; None if they must be extracted.

    precision: as it was asked for; unless it is "auto", only features in the precision of the record are returned.
    """
    common = _common_name(dataset, folder, photos, record)
    own = f"{common.removesuffix('.parquet')}-{record.precision}.parquet"
    for name in (common, own):
        found = read_cached(features_cache() / name, photos, note)
        if found is not None and (precision == "auto" or found.backbone.precision == record.precision):
            return name, found
    return common if precision == "auto" else own, None


def _common_name(dataset: str, folder: Path, photos: Listing, record: BackboneRecord) -> str:
    kind = dataclasses.replace(record, precision="")  # features agree closely enough in all precisions
    digest = hashlib.sha256(json.dumps([str(folder.resolve()), kind.to_dict()], sort_keys=True).encode())
    for photo in photos():
        size_and_time = ":".join(photo.signature.split(":")[:2])
        digest.update(json.dumps([photo.path, size_and_time]).encode())
    return f"{dataset}-{digest.hexdigest()[:16]}.parquet"


def read_cached(path: Path, photos: Listing, note: OnNote) -> FeatureSet | None:
    """Return the features of a cache file, or None if it is absent, damaged or of photos with other bytes."""
    if not path.exists():
        return None
    try:
        found = read_features(path)
    except InputFileError:
        return None
    if _TRANSIENT.intersection(found.reason):
        return None
    if _stored_digest(path) != photos_digest(photos):
        note("The photos may have changed since their features were cached; comparing their bytes.")
        if not _has_same_bytes(found, photos):
            note("Some photos have changed: the features are extracted again.")
            return None
        remember_photos(path, photos)
    return found


def remember_photos(path: Path, photos: Listing) -> None:
    """Store which files the features were computed from, so that their bytes need not be compared."""
    with contextlib.suppress(RevcdError):  # a cache that cannot be written
        write_bytes(_digest_path(path), photos_digest(photos).encode())


def photos_digest(photos: Listing) -> str:
    """Return a digest of the paths and the whole signatures of the photos."""
    digest = hashlib.sha256()
    for photo in photos():
        digest.update(json.dumps([photo.path, photo.signature]).encode())
    return digest.hexdigest()


def _digest_path(path: Path) -> Path:
    return path.with_suffix(".photos")


def _stored_digest(path: Path) -> str:
    with contextlib.suppress(OSError, UnicodeDecodeError):
        return _digest_path(path).read_text("ascii")
    return ""


def _has_same_bytes(found: FeatureSet, photos: Listing) -> bool:
    listed = list(photos())
    if [photo.path for photo in listed] != list(found.paths):
        return False
    return all(_sha256(photo) == stored for photo, stored in zip(listed, found.sha256, strict=True))


def _sha256(photo: ImageSource) -> str:
    data = photo.read()
    return "" if isinstance(data, ImageFailure) else hashlib.sha256(data).hexdigest()


@contextlib.contextmanager
def writable_cache(note: OnNote) -> Iterator[Path]:
    """Yield the folder of the cache, or a temporary folder with a note if it cannot be written."""
    folder = features_cache()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        note(
            f"The cache {folder} cannot be written ({error.strerror or error}), so these features are not kept. Set "
            "XDG_CACHE_HOME to another folder to keep them."
        )
    else:
        yield folder
        return
    with tempfile.TemporaryDirectory(prefix="revcd-features-") as temporary:
        yield Path(temporary)
