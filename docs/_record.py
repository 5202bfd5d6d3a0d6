"""Record `revcd classes new` on a pseudo-terminal of 80 columns, for docs/new-class.md: python docs/_record.py

The answers are those of examples/moose.csv; other questions are left open. The recorded run on the page is replaced.
"""

from __future__ import annotations

import csv
import os
import pty
import re
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs" / "new-class.md"
GIVEN = ("horns", "brown", "forest")  # with --set
_ESCAPES = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")
_ENVIRONMENT = {"COLUMNS": "80", "TERM": "xterm", "PYTHONPATH": str(ROOT), "NO_COLOR": "1", "PYTHONIOENCODING": "utf-8"}


def record() -> str:
    """Return the run as the page shows it: the first three and the last two questions, and the summary."""
    lines = (ROOT / "examples" / "moose.csv").read_text("utf-8").splitlines()[1:]
    answers = {row["attribute"]: row["value"] for row in csv.DictReader(lines)}
    with tempfile.TemporaryDirectory() as folder:
        table = Path(folder, "animals.csv")
        _revcd("models", "show", "animals", "--save-classes", table.name, "-q", cwd=folder)
        rows = table.read_text("utf-8").splitlines(keepends=True)
        Path(folder, "others.csv").write_text("".join(row for row in rows if not row.startswith("moose,")), "utf-8")
        options = [part for name in GIVEN for part in ("--set", f"{name}={answers[name]}")]
        command = ["classes", "new", "moose", "--classes", "others.csv", *options, "-o", "mine.csv"]
        text = _answered(folder, answers, *command)
    start, *questions = re.split(r"\n\n(?=\d+/\d+ )", text.strip())
    return "\n\n".join([start, *questions[:3], "...", *questions[-2:]]) if len(questions) > 5 else text.strip()


def _answered(folder: str, answers: dict[str, str], *arguments: str) -> str:
    """Run a command that asks questions, answer them, and return what was on the terminal."""
    terminal, end = pty.openpty()
    command = [sys.executable, "-m", "revcd_cli", *arguments]
    process = subprocess.Popen(
        command, cwd=folder, stdin=end, stdout=end, stderr=end, env={**os.environ, **_ENVIRONMENT}
    )
    os.close(end)
    shown, answered = "", 0
    while piece := _read(terminal):
        shown += _ESCAPES.sub("", piece).replace("\r\n", "\n")
        asked = re.findall(r"^\d+/\d+ +(\w+):", shown, re.MULTILINE)
        if len(asked) > answered and shown.endswith("> "):
            os.write(terminal, f"{answers.get(asked[-1], '?')}\n".encode())
            answered += 1
    os.close(terminal)
    if process.wait():
        raise SystemExit(f"{' '.join(command)} failed:\n{shown}")
    return shown


def _read(terminal: int) -> str:
    try:
        return os.read(terminal, 1 << 16).decode("utf-8", "replace")
    except OSError:  # Linux: the other end was closed
        return ""


def _revcd(*arguments: str, cwd: str) -> None:
    command = [sys.executable, "-m", "revcd_cli", *arguments]
    subprocess.run(command, cwd=cwd, env={**os.environ, **_ENVIRONMENT}, check=True)


def with_record(page: str, run: str) -> str:
    """Return the page with this run in place of the recorded one."""
    return re.sub(r"(?<=\n```\n)Answer with.*?(?=\n```\n)", lambda _: run, page, count=1, flags=re.DOTALL)


if __name__ == "__main__":
    PAGE.write_text(with_record(PAGE.read_text("utf-8"), record()), "utf-8")
