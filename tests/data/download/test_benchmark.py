"""Download of a benchmark: sources, extracted files, and files left on disk. No network is needed."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path

import pytest

from revcd_cli.data.datasets.registry import BENCHMARKS, data_roots, find_folder, get_benchmark
from revcd_cli.data.download.benchmark import download_benchmark
from revcd_cli.errors import DownloadError, UsageError

MAT = b"MATLAB 5.0 MAT-file, "
FILES = {"res101.mat": MAT + b"features", "att_splits.mat": MAT + b"splits"}


def _archive(path: Path, members: dict[str, bytes]) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as opened:
        for name, data in members.items():
            opened.writestr(name, data)
    return path


@pytest.fixture
def archive(tmp_path: Path) -> Path:
    members = {f"xlsa17/data/AWA2/{name}": data for name, data in FILES.items()}
    others = {
        "xlsa17/data/CUB/res101.mat": b"another benchmark",
        "xlsa17/README.txt": b"",
        "../../evil.mat": b"outside",
    }
    return _archive(tmp_path / "mirror.zip", members | others | {"__MACOSX/xlsa17/data/AWA2/res101.mat": b"junk"})


def _content(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def test_only_the_two_files_of_a_benchmark_are_extracted_from_an_archive(archive: Path, tmp_path: Path):
    root = tmp_path / "root"
    assert download_benchmark("AwA-2", root, url=str(archive)) == root / "AWA2"
    assert _content(root) == {f"AWA2/{name}": data for name, data in FILES.items()}
    assert archive.exists()


def test_existing_files_are_not_changed(archive: Path, tmp_path: Path):
    folder = tmp_path / "root" / "AWA2"
    folder.mkdir(parents=True)
    (folder / "att_splits.mat").write_bytes(b"mine")
    download_benchmark("awa2", tmp_path / "root", url=archive.as_uri())
    assert _content(folder) == {"att_splits.mat": b"mine", "res101.mat": FILES["res101.mat"]}
    notes: list[str] = []
    download_benchmark("awa2", tmp_path / "root", url="http://127.0.0.1:9/none.zip", on_note=notes.append)
    assert len(notes) == 1


def test_an_archive_in_the_data_root_is_used_and_kept(archive: Path, tmp_path: Path):
    root = tmp_path / "root"
    root.mkdir()
    archive.rename(root / "xlsa17.zip")
    download_benchmark("awa2", root)
    assert (root / "AWA2" / "res101.mat").read_bytes() == FILES["res101.mat"]
    assert (root / "xlsa17.zip").exists()


def test_a_folder_is_accepted_as_a_mirror(tmp_path: Path):
    mirror = tmp_path / "a mirror"
    mirror.mkdir()
    for name, data in FILES.items():
        (mirror / name).write_bytes(data)
    download_benchmark("cub", tmp_path / "root", url=str(mirror))
    assert _content(tmp_path / "root" / "CUB") == FILES


def test_a_mirror_that_returns_a_web_page_is_refused(tmp_path: Path):
    mirror = tmp_path / "mirror"
    mirror.mkdir()
    for name in FILES:
        (mirror / name).write_bytes(b"<html>Please log in</html>")
    with pytest.raises(DownloadError, match="not a MATLAB file"):
        download_benchmark("cub", tmp_path / "root", url=str(mirror))
    assert not (tmp_path / "root" / "CUB" / "res101.mat").exists()


def _cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-30])


def _flip(path: Path) -> None:
    data = bytearray(path.read_bytes())
    at = data.index(b"xlsa17/data/AWA2/res101.mat") + len(b"xlsa17/data/AWA2/res101.mat") + 4
    data[at] ^= 0xFF
    path.write_bytes(data)


def _page(path: Path) -> None:
    path.write_bytes(b"<html>Please log in</html>")


@pytest.mark.parametrize("damage", [_cut, _flip, _page])
def test_a_damaged_archive_leaves_no_file(archive: Path, tmp_path: Path, damage):
    damage(archive)
    with pytest.raises(DownloadError, match="not a complete zip archive"):
        download_benchmark("awa2", tmp_path / "root", url=str(archive))
    assert _content(tmp_path / "root") == {}
    assert archive.exists()


@pytest.mark.parametrize(
    "names",
    [
        ["/xlsa17/data/AWA2/res101.mat"],
        ["xlsa17/../AWA2/res101.mat"],
        ["xlsa17\\data/AWA2/res101.mat"],
        ["a/AWA2/res101.mat", "b/AWA2/res101.mat"],
        ["xlsa17/data/AWA2/res101.mat/"],
        [],
    ],
)
def test_a_member_is_extracted_only_if_it_is_one_regular_file_at_a_safe_path(names: list[str], tmp_path: Path):
    archive = _archive(tmp_path / "bad.zip", dict.fromkeys(names, b"x") | {"AWA2/att_splits.mat": b"x"})
    with pytest.raises(DownloadError, match=r"AWA2/res101\.mat"):
        download_benchmark("awa2", tmp_path / "root", url=str(archive))
    assert _content(tmp_path / "root") == {}


def test_a_symbolic_link_in_an_archive_is_not_followed(tmp_path: Path):
    link = zipfile.ZipInfo("AWA2/res101.mat")
    link.external_attr = 0o120777 << 16
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w") as opened:
        opened.writestr(link, "/etc/hostname")
        opened.writestr("AWA2/att_splits.mat", b"x")
    (tmp_path / "link.zip").write_bytes(data.getvalue())
    with pytest.raises(DownloadError, match="contains 0 files"):
        download_benchmark("awa2", tmp_path / "root", url=str(tmp_path / "link.zip"))


def test_offline_the_error_says_which_files_go_where(tmp_path: Path):
    with pytest.raises(DownloadError) as caught:
        download_benchmark("sun", tmp_path)
    hint = caught.value.hint or ""
    assert all(part in hint for part in ("res101.mat", "att_splits.mat", str(tmp_path / "SUN"), "xlsa17.zip", "--url"))


def test_a_benchmark_outside_the_archive_needs_an_address(tmp_path: Path):
    with pytest.raises(UsageError, match="Oxford Flowers-102 is not in") as caught:
        download_benchmark("flo", tmp_path)
    assert str(tmp_path / "FLO") in (caught.value.hint or "") and "--url" in (caught.value.hint or "")
    assert not (tmp_path / "FLO").exists()

    files = {"FLO/res101.mat": MAT, "FLO/att_splits.mat": MAT}
    folder = download_benchmark("flo", tmp_path, url=str(_archive(tmp_path / "flowers.zip", files)))
    assert sorted(path.name for path in folder.iterdir()) == ["att_splits.mat", "res101.mat"]


def test_an_unknown_benchmark_is_an_error_that_names_the_nearest():
    with pytest.raises(UsageError, match='did you mean "awa2"'):
        get_benchmark("awa22")


def test_a_benchmark_is_found_in_the_layout_of_the_unpacked_archive(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("REVCD_DATA", str(tmp_path))
    folder = tmp_path / "xlsa17" / "data" / "APY"
    folder.mkdir(parents=True)
    (folder / "att_splits.mat").write_bytes(MAT)
    assert find_folder(BENCHMARKS["apy"]) == folder
    assert find_folder(BENCHMARKS["sun"], tmp_path) is None
    assert data_roots(tmp_path / "given")[:2] == (tmp_path / "given", tmp_path)


@pytest.mark.parametrize("benchmark", BENCHMARKS.values(), ids=BENCHMARKS)
def test_the_sizes_in_the_registry_equal_those_of_the_published_splits(benchmark, shared_data: Path):
    import numpy as np
    from scipy.io import loadmat

    splits = loadmat(shared_data / "xlsa17" / benchmark.folder / "att_splits.mat")
    rows = np.concatenate([splits[part].ravel() for part in ("trainval_loc", "test_seen_loc", "test_unseen_loc")])
    assert splits["att"].shape == (benchmark.attributes, benchmark.classes)
    assert np.array_equal(np.sort(rows), np.arange(1, benchmark.images + 1))
