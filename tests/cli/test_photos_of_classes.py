"""`revcd predict --photos` and `revcd models adapt`: classes known by photos, on real files."""

from __future__ import annotations

from pathlib import Path

import pytest

from revcd_cli.__main__ import main

NAMES = ("striped", "red")


@pytest.fixture
def lines(trained, capsys: pytest.CaptureFixture[str]):
    """lines(command, *options): run a command, and return the lines that it prints and its messages."""

    def run(*arguments: object, code: int = 0) -> tuple[list[str], str]:
        capsys.readouterr()
        assert main(list(map(str, arguments))) == code
        captured = capsys.readouterr()
        return captured.out.splitlines(), captured.err

    return run


@pytest.fixture
def own(trained, tmp_path: Path) -> Path:
    """A folder with a folder of photos for one new class, whose look is that of the striped one."""
    folder = tmp_path / "own" / "tiger striped"
    folder.mkdir(parents=True)
    for number in range(4):
        (folder / f"{number}.png").write_bytes((trained.folder / "striped" / f"{number}.png").read_bytes())
    return folder.parent


def test_a_class_of_photos_takes_the_photos_that_look_like_it(trained, lines, own: Path):
    photos = [trained.folder / "striped" / "6.png", trained.folder / "red" / "6.png"]
    plain, _ = lines("predict", *photos, "--model", trained.model, "--rule", "prototype")
    answers, notes = lines("predict", *photos, "--model", trained.model, "--photos", own)
    assert "tiger striped (4)" in notes
    assert answers[0].split("\t")[1] == "tiger striped"
    assert answers[1] == plain[1]  # the other photo, and its score


def answer(printed: list[str]) -> list[list[str]]:
    """Return the lines of a pipe without the digests of model and table."""
    return [line.split("\t")[:-2] for line in printed]


def test_a_model_keeps_the_photos_lists_them_and_drops_them_again(trained, lines, own: Path, tmp_path: Path):
    photo, model, without = (
        trained.folder / "striped" / "6.png",
        tmp_path / "own.safetensors",
        tmp_path / "w.safetensors",
    )
    _, notes = lines("models", "adapt", trained.model, "--photos", own, "-o", model)
    assert "tiger striped (4)" in notes
    shown, _ = lines("models", "show", model)
    assert any("photos given" in line and "tiger striped (4)" in line for line in shown)
    given, _ = lines("predict", photo, "--model", trained.model, "--photos", own)
    kept, _ = lines("predict", photo, "--model", model)
    assert answer(kept) == answer(given)
    lines("models", "adapt", model, "--remove", "tiger_striped", "-o", without)
    before, _ = lines("predict", photo, "--model", trained.model)
    assert answer(lines("predict", photo, "--model", without)[0]) == answer(before)


def test_wrong_uses_are_explained(trained, lines, own: Path, tmp_path: Path):
    output = tmp_path / "new.safetensors"
    _, message = lines("models", "adapt", trained.model, "-o", output, code=2)
    assert "neither --photos nor --remove" in message
    _, message = lines("models", "adapt", trained.model, "--remove", "okapi", "-o", output, code=2)
    assert "no photos of okapi" in message
    _, message = lines("models", "adapt", trained.model, "--photos", "okapi", "-o", output, code=2)
    assert "neither NAME=PATH nor a folder" in message
    photo = trained.folder / "red" / "6.png"
    _, message = lines("predict", photo, "--model", trained.model, "--rule", "cosine", "--photos", own, code=2)
    assert "does not use photos" in message
    assert not output.exists()
