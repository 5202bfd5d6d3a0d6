"""`revcd classes suggest`: printed findings, the page, and refused tables."""

from __future__ import annotations

import html
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from revcd_cli.__main__ import main

ROOT = Path(__file__).resolve().parents[2]
HOSTILE = "</script><b>[red] & 'x'</b>"
CSV = f"""class,stripes,hooves,tail
zebra,1,1,1
{HOSTILE},1,1,1
horse,0,1,1
tiger,0.9,0,1
cat,0.2,0.1,1
"""


@pytest.fixture
def mine(tmp_path: Path) -> Path:
    path = tmp_path / "mine.csv"
    path.write_text(CSV, encoding="utf-8")
    return path


def test_json_and_page_hold_the_same_findings(mine: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    page = tmp_path / "page.html"
    assert main(["classes", "suggest", str(mine), "-o", str(page), "--json", "-q"]) == 0
    document = json.loads(capsys.readouterr().out)
    text = page.read_text("utf-8")
    data = json.loads(re.search('<script id="data" type="application/json">(.*?)</script>', text)[1])
    assert data["names"] == document["map"]["classes"]
    assert data["cosines"] == [[round(100 * cosine) for cosine in row] for row in document["map"]["cosines"]]
    plain = " ".join(html.unescape(re.sub("<[^>]*>", "", text)).split())
    assert HOSTILE not in text
    for pair in document["pairs"]:
        assert f"{pair['cosine']:.3f}" in plain
        assert pair["advice"] in plain
    for step in document["next"]:
        assert step in plain


def test_in_a_pipe_pairs_attributes_and_advice_are_plain_lines(mine: Path, capsys: pytest.CaptureFixture[str]):
    assert main(["classes", "suggest", str(mine)]) == 0
    printed = capsys.readouterr()
    lines = printed.out.splitlines()
    assert lines[0] == "class\tand class\tcosine\tdiffer in\tlargest differences"
    assert lines[1] == f"{HOSTILE}\tzebra\t1.000\t0\tnone: the rows are the same"
    assert "tail\t-\tthe same for all classes" in lines
    assert lines[-1].startswith("next  ") or lines[-2].startswith("next  ")
    assert printed.out.isascii()
    assert "1 pair of classes has a cosine above 0.95" in printed.err


def test_with_a_model_the_table_must_have_its_attributes(mine: Path, capsys: pytest.CaptureFixture[str]):
    assert main(["classes", "suggest", str(mine), "--model", "animals"]) == 4
    assert "mine.csv:1:" in capsys.readouterr().err


@pytest.mark.parametrize(("text", "place"), [("class,a\nx,yes\n", ":2:2:"), ("class,a\nx,\n", ":2:2:"), ("", ":")])
def test_an_invalid_table_exits_with_4_and_writes_no_page(
    text: str, place: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    path = tmp_path / "bad.csv"
    path.write_text(text)
    assert main(["classes", "suggest", str(path), "-o", str(tmp_path / "p.html")]) == 4
    assert f"bad.csv{place}" in capsys.readouterr().err
    assert not (tmp_path / "p.html").exists()


def test_an_existing_page_is_kept_and_other_file_types_are_refused(mine: Path, tmp_path: Path):
    page = tmp_path / "page.html"
    page.write_text("kept")
    assert main(["classes", "suggest", str(mine), "-o", str(page), "-q"]) == 2
    assert page.read_text() == "kept"
    assert main(["classes", "suggest", str(mine), "-o", str(page), "-q", "--overwrite"]) == 0
    assert main(["classes", "suggest", str(mine), "-o", str(tmp_path / "page.csv"), "-q"]) == 2


def test_the_table_of_the_shipped_model_is_analysed_without_torch(tmp_path: Path):
    table = tmp_path / "animals.csv"
    assert main(["models", "show", "animals", "--save-classes", str(table), "-q"]) == 0
    code = (
        "import sys; from revcd_cli.__main__ import main; c = main(sys.argv[1:]); sys.exit(c or 'torch' in sys.modules)"
    )
    command = [sys.executable, "-c", code, "classes", "suggest", str(table), "--model", "animals", "--json"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0
    document = json.loads(done.stdout)
    assert document["pairs"][0]["classes"] == ["guenon", "langur"]
    assert len(document["attribute_facts"]) == 85
