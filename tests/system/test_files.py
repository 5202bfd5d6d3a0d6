"""Files: writing is atomic, and one run at a time writes an output."""

from __future__ import annotations

import hashlib
import os
import signal
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from revcd_cli.errors import RevcdError, UsageError
from revcd_cli.system.files import atomic_write, check_output, exclusive, file_sha256, write_bytes

ROOT = Path(__file__).resolve().parents[2]


def run_python(script: str, *arguments: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", script, *map(str, arguments)]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60)


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


@pytest.fixture
def umask():
    """Set the umask for one test."""
    before = os.umask(0o022)
    os.umask(before)
    yield os.umask
    os.umask(before)


@pytest.mark.parametrize("size", [0, 1, 1 << 20, (1 << 20) + 1])
def test_the_hash_of_a_file_equals_that_of_its_bytes(tmp_path: Path, size: int):
    data = bytes(range(256)) * (size // 256) + b"x" * (size % 256)
    (tmp_path / "file").write_bytes(data)
    assert file_sha256(tmp_path / "file") == hashlib.sha256(data).hexdigest()


def test_an_output_may_be_new_and_in_folders_that_do_not_exist_yet(tmp_path: Path):
    path = tmp_path / "a" / "b" / "out"
    assert check_output(path, overwrite=False) == path
    assert not path.parent.exists()


def test_an_existing_output_needs_overwrite(tmp_path: Path):
    path = tmp_path / "out"
    path.write_bytes(b"old")
    with pytest.raises(UsageError, match="exists already") as caught:
        check_output(path, overwrite=False)
    assert str(path) in caught.value.message and "--overwrite" in caught.value.hint
    assert check_output(path, overwrite=True) == path


def test_a_tilde_is_expanded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    assert check_output(Path("~/out"), overwrite=False) == tmp_path / "out"


@pytest.mark.parametrize("overwrite", [False, True])
@pytest.mark.parametrize(
    ("place", "words"),
    [("folder", "is a folder"), ("pipe", "not a regular file"), ("file/out", "is a file, so nothing can be written")],
)
def test_a_path_that_is_not_a_regular_file_is_refused_with_and_without_overwrite(
    tmp_path: Path, place: str, words: str, overwrite: bool
):
    (tmp_path / "folder").mkdir()
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(UsageError, match=words) as caught:
        check_output(tmp_path / place, overwrite=overwrite)
    assert str(tmp_path / place) in caught.value.message


def test_the_folders_of_an_output_are_created(tmp_path: Path):
    write_bytes(tmp_path / "a" / "b" / "out", b"new")
    assert (tmp_path / "a" / "b" / "out").read_bytes() == b"new"
    assert names(tmp_path / "a" / "b") == ["out"]


def test_the_old_file_is_kept_until_the_new_one_is_complete(tmp_path: Path):
    path = tmp_path / "out"
    path.write_bytes(b"old")
    with atomic_write(path) as stream:
        stream.write(b"new")
        stream.flush()
        assert path.read_bytes() == b"old"
    assert path.read_bytes() == b"new"
    assert names(tmp_path) == ["out"]


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt, SystemExit])
@pytest.mark.parametrize("old", [None, b"old"])
def test_a_failed_write_changes_nothing(tmp_path: Path, error: type[BaseException], old: bytes | None):
    path = tmp_path / "out"
    if old is not None:
        path.write_bytes(old)
    with pytest.raises(error), atomic_write(path) as stream:
        stream.write(b"half")
        raise error
    assert names(tmp_path) == ([] if old is None else ["out"])
    assert old is None or path.read_bytes() == old


FULL_DISK = """
import resource, sys
from pathlib import Path
from revcd_cli.errors import RevcdError
from revcd_cli.system.files import write_bytes
resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))
try:
    write_bytes(Path(sys.argv[1]), b"x" * int(sys.argv[2]))
except RevcdError as error:
    sys.exit(f"refused: {error}")
"""


@pytest.mark.parametrize("size", [5_000, 3_000_000])
def test_on_a_full_disk_the_old_file_is_kept(tmp_path: Path, size: int):
    path = tmp_path / "out"
    path.write_bytes(b"old")
    result = run_python(FULL_DISK, path, size)
    assert result.returncode == 1 and result.stderr.startswith(f"refused: {path}: cannot be written (")
    assert path.read_bytes() == b"old"
    assert names(tmp_path) == ["out"]


def test_a_folder_that_cannot_be_created_is_an_error_that_names_the_output(tmp_path: Path):
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(RevcdError, match="cannot be written") as caught:
        write_bytes(tmp_path / "file" / "out", b"new")
    assert str(tmp_path / "file" / "out") in caught.value.message


@pytest.mark.parametrize(("mask", "mode"), [(0o022, 0o644), (0o077, 0o600), (0o002, 0o664)])
def test_a_new_file_has_the_mode_of_the_umask(tmp_path: Path, umask, mask: int, mode: int):
    umask(mask)
    write_bytes(tmp_path / "out", b"new")
    assert stat.S_IMODE((tmp_path / "out").stat().st_mode) == mode


def test_a_replaced_file_keeps_its_mode(tmp_path: Path):
    (tmp_path / "out").write_bytes(b"old")
    (tmp_path / "out").chmod(0o640)
    write_bytes(tmp_path / "out", b"new")
    assert stat.S_IMODE((tmp_path / "out").stat().st_mode) == 0o640


@pytest.mark.parametrize("exists", [False, True])
def test_a_link_is_kept_and_its_target_replaced(tmp_path: Path, exists: bool):
    target, link = tmp_path / "elsewhere" / "target", tmp_path / "link"
    target.parent.mkdir()
    if exists:
        target.write_bytes(b"old")
    link.symlink_to(target)
    write_bytes(link, b"new")
    assert link.is_symlink() and target.read_bytes() == b"new"
    assert names(tmp_path) == ["elsewhere", "link"] and names(target.parent) == ["target"]


TAKE = """
import sys, time
from pathlib import Path
from revcd_cli.errors import UsageError
from revcd_cli.system.files import exclusive
try:
    with exclusive(Path(sys.argv[1])):
        print("held", flush=True)
        time.sleep(float(sys.argv[2]))
except UsageError as error:
    sys.exit(f"refused: {error}")
"""


def test_a_second_process_is_refused_with_the_id_of_the_first(tmp_path: Path):
    output = tmp_path / "out"
    with exclusive(output):
        result = run_python(TAKE, output, 0)
    assert result.returncode == 1 and result.stdout == ""
    assert result.stderr.startswith(f"refused: {output}: another run (process {os.getpid()})")


def test_the_lock_of_an_output_ends_with_the_block(tmp_path: Path):
    output = tmp_path / "out"
    with exclusive(output):
        pass
    with pytest.raises(ValueError), exclusive(output):
        raise ValueError
    assert run_python(TAKE, output, 0).returncode == 0
    assert names(tmp_path) == []


def test_the_lock_of_an_output_ends_with_a_process_that_is_killed(tmp_path: Path):
    output = tmp_path / "out"
    command = [sys.executable, "-c", TAKE, str(output), "60"]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout.readline() == "held\n"
        with pytest.raises(UsageError, match=f"process {holder.pid}"), exclusive(output):
            pass
        holder.send_signal(signal.SIGKILL)
        holder.wait()
    with exclusive(output):
        assert run_python(TAKE, output, 0).returncode == 1
    assert names(tmp_path) == []


def test_temporary_files_of_a_killed_run_are_removed_by_the_next(tmp_path: Path):
    killed = """
import os, signal, sys
from pathlib import Path
from revcd_cli.system.files import atomic_write
with atomic_write(Path(sys.argv[1])) as stream:
    stream.write(b"half")
    os.kill(os.getpid(), signal.SIGKILL)
"""
    for name in ("out", "other"):
        assert run_python(killed, tmp_path / name).returncode == -signal.SIGKILL
    assert len(names(tmp_path)) == 2
    with exclusive(tmp_path / "out"):
        assert sum(name.endswith(".tmp") for name in names(tmp_path)) == 1
    with exclusive(tmp_path / "third", tmp_path / "other"):  # which the run writes beside its output
        pass
    assert names(tmp_path) == []


def test_an_output_below_a_file_is_an_error(tmp_path: Path):
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(RevcdError, match="cannot be written"), exclusive(tmp_path / "file" / "out"):
        pass


CONTEND = """
import os, sys, time
from pathlib import Path
from revcd_cli.errors import UsageError
from revcd_cli.system.files import exclusive
output, inside, wanted = Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3])
end = time.monotonic() + 40
while wanted and time.monotonic() < end:
    try:
        with exclusive(output):
            os.close(os.open(inside, os.O_CREAT | os.O_EXCL))  # fails if another process is inside
            inside.unlink()
            wanted -= 1
    except UsageError:
        pass
sys.exit(wanted)
"""


def test_concurrent_processes_lock_an_output_one_at_a_time(tmp_path: Path):
    command = [sys.executable, "-c", CONTEND, str(tmp_path / "out"), str(tmp_path / "inside"), "50"]
    processes = [subprocess.Popen(command, cwd=ROOT) for _ in range(3)]
    assert [process.wait(timeout=60) for process in processes] == [0, 0, 0]
    assert names(tmp_path) == []


def test_two_outputs_in_one_folder_can_be_written_at_once(tmp_path: Path):
    with exclusive(tmp_path / "one"), exclusive(tmp_path / "two"):
        assert len(names(tmp_path)) == 2
