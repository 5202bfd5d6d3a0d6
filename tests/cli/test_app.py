"""The command line as a process: exit codes, streams, signals, and imports of `--help`."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import typer

from revcd_cli import __version__
from revcd_cli.__main__ import main
from revcd_cli.checkpoint.metadata import FORMAT
from revcd_cli.cli.app import app, global_options_first

ROOT = Path(__file__).resolve().parents[2]
COMMANDS = (
    "",
    "predict",
    "apply",
    "extract",
    "train",
    "tune",
    "evaluate",
    "info",
    "classes",
    "classes suggest",
    "data",
    "data list",
    "data download",
    "data check",
    "models",
    "models list",
    "models show",
    "study",
    "study cls-weight",
    "study denoise",
)
# The last line of stderr lists the modules imported by main().
REPORT_IMPORTS = """
import sys
from revcd_cli.__main__ import main
code = main(sys.argv[1:])
heavy = {"torch", "torchvision", "timm", "numpy", "scipy", "PIL", "pyarrow", "matplotlib", "jinja2", "huggingface_hub"}
print("HEAVY", *sorted(heavy & set(sys.modules)), file=sys.stderr)
sys.exit(code)
"""
# Two commands for these tests only: one that waits, and one that raises an unexpected exception.
EXTRA_COMMANDS = """
import signal, sys, time
from revcd_cli.__main__ import main
from revcd_cli.cli.terminal import console
from revcd_cli.cli.app import app

@app.command()
def wait() -> None:
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell lets what runs in its background ignore it
    try:
        print("ready", flush=True)
        time.sleep(60)
    finally:
        print("cleaned up", flush=True)

@app.command()
def defect() -> None:
    1 / 0

@app.command()
def many() -> None:
    with console.progress("Working") as on_progress:
        for done in range(1, 4):
            on_progress(done, 3, 1)
            console.result(f"row {done}")

sys.exit(main(sys.argv[1:]))
"""


def run(*arguments: str, code: str | None = None, **options) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": str(ROOT), **options.pop("env", {})}
    program = ["-c", code] if code else ["-m", "revcd_cli"]
    options = {"capture_output": True, "text": True, "timeout": 120, **options}
    return subprocess.run([sys.executable, *program, *arguments], env=environment, check=False, **options)


def write_model(path: Path, **sections: object) -> dict[str, object]:
    """Write the header of a model file, the only part that `revcd models` reads, and return its metadata."""
    document = {
        "format": FORMAT,
        "config": {"diffusion": {"timesteps": 500}, "loss": {"rec_rows": "all"}},
        "classes": {"names": ["ox", "zebra"], "seen": ["ox"], "attributes": ["stripes", "hooves"]},
        "backbone": {"tag": "embedded", "feature_dim": 1280},
        "dataset": {"name": "awa2"},
        "metrics": {"harmonic_mean": 0.5},
        "seed": 0,
        **sections,
    }
    header = json.dumps({"__metadata__": {"revcd": json.dumps(document)}}).encode()
    path.write_bytes(len(header).to_bytes(8, "little") + header)
    return document


@pytest.mark.parametrize("command", COMMANDS)
def test_help_is_printed_without_importing_anything_heavy(command: str):
    done = run(*command.split(), "--help", code=REPORT_IMPORTS)
    assert (done.returncode, done.stderr) == (0, "HEAVY\n")
    assert done.stdout.startswith(f"Usage: revcd {command}".rstrip())


@pytest.mark.parametrize("command", COMMANDS)
def test_each_example_in_the_help_has_a_line_of_its_own(command: str, capsys: pytest.CaptureFixture[str]):
    found = typer.main.get_command(app)
    for name in command.split():
        found = found.commands[name]
    examples = [line.strip() for line in (found.help or "").splitlines() if line.strip().startswith("revcd ")]
    main([*command.split(), "--help"])
    shown = [line.strip() for line in capsys.readouterr().out.splitlines()]
    assert [line for line in shown if line in examples] == examples


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ("", "Usage: revcd"),
        ("predct", "Did you mean 'predict'"),
        ("predict", "IMAGES"),
        ("models", "Usage: revcd models"),
        ("models shwo", "show"),
        ("extract a.jpg -o x.npz --batch-size 0", "--batch-size"),
        ("extract a.jpg -o x.npz --batch-size many", "--batch-size"),
        ("predict a.jpg --no-such-option", "--no-such-option"),
        ("predict a.jpg --top-k 0", "--top-k"),
    ],
)
def test_a_usage_error_exits_with_2_without_importing_anything_heavy(arguments: str, says: str):
    done = run(*arguments.split(), code=REPORT_IMPORTS)
    assert done.returncode == 2
    assert says in done.stderr
    assert done.stderr.endswith("HEAVY\n")
    assert not done.stdout


def test_the_version_is_one_line_on_stdout(capsys: pytest.CaptureFixture[str]):
    assert main(["--version"]) == 0
    assert capsys.readouterr().out == f"revcd {__version__}\n"


def test_global_options_may_follow_a_command_but_not_a_double_dash():
    given = ["predict", "a.jpg", "-q", "--top-k", "3", "--offline", "--", "-v"]
    assert global_options_first(given) == ["-q", "--offline", "predict", "a.jpg", "--top-k", "3", "--", "-v"]


def test_offline_is_set_for_every_library(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.delenv("HF_HUB_OFFLINE")
    assert main(["models", "list", "--offline"]) == 0
    assert os.environ["HF_HUB_OFFLINE"] == "1"


def test_an_error_is_a_message_with_a_hint_and_no_traceback(capsys: pytest.CaptureFixture[str]):
    assert main(["models", "show", "no such model", "-q"]) == 1
    printed = capsys.readouterr()
    assert printed.out == ""
    assert re.match('error: No model "no such model".*\nhint: .*revcd models list', printed.err)
    assert "Traceback" not in printed.err


def test_a_traceback_is_printed_on_request(capsys: pytest.CaptureFixture[str]):
    assert main(["models", "show", "no such model", "-vv"]) == 1
    assert "Traceback" in capsys.readouterr().err


def test_an_unexpected_exception_is_one_message_and_exit_code_1():
    done = run("defect", code=EXTRA_COMMANDS)
    assert done.returncode == 1
    assert done.stderr.startswith("error: unexpected ZeroDivisionError")
    assert "Traceback" not in done.stderr


@pytest.mark.skipif(os.name == "nt", reason="signals of POSIX")
@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_ends_the_command_cleanly(number: signal.Signals, code: int):
    command = [sys.executable, "-c", EXTRA_COMMANDS, "wait"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdout=pipe, stderr=pipe, text=True, env=environment) as process:
        assert process.stdout.readline() == "ready\n"
        process.send_signal(number)
        out, err = process.communicate(timeout=60)
    assert (process.returncode, out) == (code, "cleaned up\n")
    assert err == ("Interrupted.\n" if code == 130 else "Terminated.\n")


@pytest.mark.skipif(os.name == "nt", reason="a pseudo-terminal of POSIX")
def test_results_stay_on_stdout_while_progress_is_drawn_on_a_terminal():
    terminal, stderr = os.openpty()
    try:
        done = run("many", code=EXTRA_COMMANDS, capture_output=False, stdout=subprocess.PIPE, stderr=stderr)
        drawn = os.read(terminal, 1 << 16).decode()
    finally:
        os.close(terminal)
        os.close(stderr)
    assert done.stdout == "row 1\nrow 2\nrow 3\n"
    assert "Working" in drawn
    assert "3/3" in drawn
    assert "1 failed" in drawn


@pytest.mark.skipif(os.name == "nt", reason="a pseudo-terminal of POSIX")
def test_results_and_progress_do_not_mix_on_one_terminal():
    terminal, both = os.openpty()
    try:
        run("many", code=EXTRA_COMMANDS, capture_output=False, stdout=both, stderr=both, env={"TERM": "xterm"})
        drawn = os.read(terminal, 1 << 16).decode()
    finally:
        os.close(terminal)
        os.close(both)
    assert "Working" in drawn
    lines = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "\r", drawn)  # what moves or erases starts a line anew
    assert re.findall(r"(?<=[\r\n])row \d(?=\r\n)", lines) == ["row 1", "row 2", "row 3"]


def test_no_progress_is_drawn_if_stderr_is_not_a_terminal():
    done = run("many", code=EXTRA_COMMANDS, env={"FORCE_COLOR": "1"})
    assert (done.returncode, done.stdout, done.stderr) == (0, "row 1\nrow 2\nrow 3\n", "")


HOSTILE = ["[red] fox", "a[/bold]", ":dog:", "tab\tand\nnewline", "\x1b[31mred\x07", "斑马 ع", "y" * 300]
SURROUNDINGS = {
    "plain": {},
    "forced colours": {"FORCE_COLOR": "1", "GITHUB_ACTIONS": "1"},
    "no colours": {"NO_COLOR": "1"},
    "narrow": {"COLUMNS": "20"},
    "dumb": {"TERM": "dumb"},
}


@pytest.mark.parametrize("surroundings", SURROUNDINGS)
def test_hostile_names_are_shown_literally_in_every_environment(surroundings: str, tmp_path: Path):
    path = tmp_path / "[bold]model.safetensors"
    write_model(path, classes={"names": HOSTILE, "seen": HOSTILE[:1], "attributes": HOSTILE})
    done = run("models", "show", str(path), env=SURROUNDINGS[surroundings])
    assert (done.returncode, done.stderr) == (0, "")
    assert "\x1b" not in done.stdout
    for literal in (
        "[bold]model",
        "[red] fox",
        "a[/bold]",
        ":dog:",
        "tab\\tand\\nnewline",
        "\\x1b[31mred\\x07",
        "斑马 ع",
        "y" * 300,
    ):
        assert literal in done.stdout


@pytest.mark.parametrize("surroundings", SURROUNDINGS)
def test_json_is_the_same_in_every_environment(surroundings: str, tmp_path: Path):
    document = write_model(tmp_path / "m.safetensors", dataset={"name": HOSTILE[0]})
    done = run("models", "show", str(tmp_path / "m.safetensors"), "--json", env=SURROUNDINGS[surroundings])
    shown = json.loads(done.stdout)
    assert {name: shown[name] for name in document} == document
    assert shown["name"] == "m"
    assert len(shown["sha256"]) == 64


def test_a_model_is_shown_without_torch(tmp_path: Path):
    write_model(tmp_path / "m.safetensors")
    done = run("models", "show", str(tmp_path / "m.safetensors"), code=REPORT_IMPORTS)
    assert (done.returncode, done.stderr) == (0, "HEAVY\n")
    assert "1: zebra" in done.stdout
    assert "diffusion.timesteps = 500" in done.stdout


def test_an_error_about_a_hostile_name_prints_it_literally():
    done = run("models", "show", "\x1b[31m[/bold].safetensors", env={"FORCE_COLOR": "1"})
    assert done.returncode == 1
    assert '"\\x1b[31m[/bold].safetensors"' in done.stderr


@pytest.mark.skipif(sys.platform != "linux", reason="file names that are not UTF-8")
@pytest.mark.parametrize("encoding", ["utf-8", "ascii"])
def test_no_name_crashes_a_stream(encoding: str, tmp_path: Path):
    path = tmp_path / os.fsdecode(b"caf\xe9 \xe2\x9c\x94.safetensors")
    write_model(path)
    for arguments in (["models", "show", str(path)], ["models", "show", f"{path}x"]):
        done = run(*arguments, env={"PYTHONIOENCODING": encoding})
        assert done.returncode == (0 if arguments[-1] == str(path) else 1)
        assert "caf\\udce9" in done.stdout + done.stderr
        assert "Traceback" not in done.stderr


SHELL = pytest.mark.skipif(os.name == "nt", reason="a POSIX shell")


def shell(line: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "REVCD": f"{sys.executable} -m revcd_cli"}
    return subprocess.run(["sh", "-c", line], env=environment, capture_output=True, text=True, check=False, timeout=120)


@SHELL
def test_a_closed_pipe_is_not_reported_as_an_error(tmp_path: Path):
    write_model(tmp_path / "m.safetensors", metrics={str(n): 0.5 for n in range(20_000)})
    done = shell(f"$REVCD models show {tmp_path}/m.safetensors | head -n 1")
    assert done.stdout.count("\n") == 1
    assert done.stderr == ""


@SHELL
@pytest.mark.parametrize("closed", [">&-", "2>&-", ">&- 2>&-"])
def test_a_closed_stream_crashes_nothing(closed: str):
    assert shell(f"$REVCD models list {closed}").returncode == 0
    done = shell(f"$REVCD models show none {closed}")
    assert done.returncode == 1
    assert "Traceback" not in done.stderr


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full")
def test_results_that_could_not_be_printed_are_an_error():
    done = shell("$REVCD --version > /dev/full")
    assert done.returncode == 1
    assert re.fullmatch("error: .*No space left.*\n", done.stderr)


def test_info_names_versions_device_and_folders(capsys: pytest.CaptureFixture[str]):
    assert main(["info", "--json"]) == 0
    facts = json.loads(capsys.readouterr().out)
    assert facts["revcd"] == __version__
    assert facts["device"].split()[0].split(":")[0] in ("cpu", "cuda", "mps")
    assert facts["packages"]["torch"]
    assert facts["backbones"]["embedded"]
    assert facts["offline"] is True
    assert main(["info"]) == 0
    assert facts["device"] in capsys.readouterr().out


def test_info_works_although_torch_is_broken(tmp_path: Path):
    (tmp_path / "torch.py").write_text("raise OSError('libtorch is missing')")
    done = run("info", "--json", env={"PYTHONPATH": os.pathsep.join([str(tmp_path), str(ROOT)])}, cwd=tmp_path)
    assert done.returncode == 0
    assert "libtorch is missing" in json.loads(done.stdout)["device"]
