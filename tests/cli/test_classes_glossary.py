"""`revcd classes glossary`: the scale and the extreme classes of each attribute, on a terminal and as a page."""

from __future__ import annotations

import html
import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from revcd_cli.__main__ import main
from revcd_cli.checkpoint.model_file import read_class_table
from tests.cli.test_classes_new import WITHOUT_TORCH, environment

HOSTILE = "</script><b>[red] & 'x'</b>"


def test_every_attribute_has_its_extreme_classes_and_a_sentence(capsys: pytest.CaptureFixture[str]):
    assert main(["classes", "glossary", "--json"]) == 0
    document, table = json.loads(capsys.readouterr().out), read_class_table("animals")
    assert [each["name"] for each in document["attributes"]] == list(table.attributes)
    for each, column in zip(document["attributes"], table.values.T, strict=True):
        assert each["meaning"].endswith(".")
        assert [found["value"] for found in each["most"]] == pytest.approx(sorted(column.tolist())[:-4:-1])
        assert [found["value"] for found in each["least"]] == pytest.approx(sorted(column.tolist())[:3])
        assert (each["lowest"], each["highest"]) == pytest.approx((column.min(), column.max()))
    assert any(each["reliability"] is not None for each in document["attributes"])


def test_named_attributes_are_explained_in_lines_and_unknown_ones_are_refused(capsys: pytest.CaptureFixture[str]):
    assert main(["classes", "glossary", "LongNeck", "stripes"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines if not line.startswith(" ")] == ["longneck", "stripes"]
    assert "giraffe 96.7" in lines[2] and "zebra 98.9" in lines[5]
    assert main(["classes", "glossary", "strips"]) == 2
    assert 'did you mean "stripes"' in capsys.readouterr().err


def test_the_page_shows_any_table_and_escapes_its_names(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    table, page = tmp_path / "mine.csv", tmp_path / "page.html"
    table.write_text(f'class,"{HOSTILE}",b\n"{HOSTILE}",1,5\nx,0,5\n')
    assert main(["classes", "glossary", "--classes", str(table), "-o", str(page)]) == 0
    text = page.read_text("utf-8")
    assert HOSTILE not in text and "default-src 'none'" in text
    plain = " ".join(html.unescape(re.sub("<[^>]*>", "", text)).split())
    assert plain.count(HOSTILE) == 5 and f"{HOSTILE} 1, x 0" in plain  # a heading, and two lists for each column
    assert main(["classes", "glossary", "--classes", str(table), "-o", str(page)]) == 2


def test_torch_is_not_imported():
    command = [sys.executable, "-c", WITHOUT_TORCH, "classes", "glossary", "stripes"]
    subprocess.run(command, env=environment(), capture_output=True, check=True)
