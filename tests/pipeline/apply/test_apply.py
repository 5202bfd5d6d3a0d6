"""Photos are sorted and get sidecars without a change of the photos, and all of it can be undone."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from revcd_cli.errors import InputFileError, RevcdError, UsageError
from revcd_cli.pipeline.apply.answers import Answer, select
from revcd_cli.pipeline.apply.apply import Applied, apply_plan, make_plan
from revcd_cli.pipeline.apply.sort import plan_sort
from revcd_cli.pipeline.apply.undo import undo
from revcd_cli.pipeline.apply.xmp import keywords, with_keyword
from tests.makers.answers import content, make_photos

SURE = {"100/a.jpg": "moose", "100/b.jpg": "raccoon", "101/a.jpg": "moose"}
HOW = ("copy", "hardlink", "symlink")


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    return make_photos(tmp_path / "card", dict.fromkeys(SURE))


def answers_of(photos: Path, names: dict[str, str | None] = SURE) -> list[Answer]:
    return [Answer(str(photos / path), "ok" if name else "rejected", name, 0.5) for path, name in names.items()]


def run(photos: Path, answers: list[Answer], **options: object) -> Applied:
    how = options.pop("how", "copy")
    plan = make_plan(answers, select(answers), **options)
    return apply_plan(plan, photos.parent / "undo.jsonl", how=how)


@pytest.mark.parametrize("how", HOW)
def test_sorted_photos_have_the_bytes_and_relative_paths_of_the_photos_and_undo_removes_all(how: str, photos: Path):
    before, target = content(photos), photos.parent / "new" / "sorted"
    applied = run(photos, answers_of(photos), folder=target, how=how)
    assert content(target) == {f"{name}/{path}": before[path] for path, name in SURE.items()}
    assert (applied.placed, applied.failures) == ({"moose": 2, "raccoon": 1}, [])
    assert content(photos) == before
    for path, name in SURE.items():
        placed = target / name / path
        assert placed.is_symlink() == (how == "symlink")
        assert placed.samefile(photos / path) == (how != "copy")
        assert placed.stat().st_mtime == (photos / path).stat().st_mtime
    assert undo(photos.parent / "undo.jsonl").removed == 3
    assert [path.name for path in photos.parent.iterdir()] == ["card"]
    assert content(photos) == before


def test_paths_do_not_depend_on_which_answers_are_chosen(photos: Path):
    answers = answers_of(photos)
    plan = make_plan(answers, select(answers, only=["Raccoon"]), folder=photos.parent / "sorted")
    assert [each.target for each in plan.placements] == [photos.parent / "sorted/raccoon/100/b.jpg"]


def test_unsure_photos_have_their_own_folder_and_no_keyword(photos: Path):
    answers = [Answer(str(photos / "100/a.jpg"), "rejected", None, None)]
    answers += [
        Answer(str(photos / path), "ok", "moose", share) for path, share in (("100/b.jpg", 0.8), ("101/a.jpg", 0.79))
    ]
    plan = make_plan(answers, select(answers, min_probability=0.8), folder=photos.parent / "s", sidecars="auto")
    apply_plan(plan, photos.parent / "undo.jsonl")
    assert sorted(content(photos.parent / "s")) == [
        "moose/100/b.jpg",
        "moose/100/b.xmp",
        "unsure/100/a.jpg",
        "unsure/101/a.jpg",
    ]


def test_a_photo_that_could_not_be_read_is_left_out_and_two_answers_for_one_are_refused():
    one = Answer("a.jpg", "ok", "moose", 0.5)
    selection = select([one, one, Answer("b.jpg", "failed", None, None)])
    assert (selection.answers, selection.failed) == ((one,), 1)
    with pytest.raises(UsageError, match=r"a\.jpg: has two answers, moose and wolf"):
        select([one, Answer("a.jpg", "ok", "wolf", 0.5)])
    with pytest.raises(UsageError, match=r'No photo has the answer "mose" \(did you mean "moose"\?\)'):
        select([one], only=["mose"])


@pytest.mark.parametrize("existing", ["file", "dangling link"])
def test_nothing_is_written_if_one_target_exists(existing: str, photos: Path):
    target = photos.parent / "sorted"
    (target / "raccoon/100").mkdir(parents=True)
    if existing == "file":
        (target / "raccoon/100/b.jpg").write_bytes(b"mine")
    else:
        (target / "raccoon/100/b.jpg").symlink_to("nowhere")
    with pytest.raises(UsageError, match="1 of 3 files exist already, and nothing was written"):
        run(photos, answers_of(photos), folder=target)
    assert [path.name for path in target.iterdir()] == ["raccoon"]


@pytest.mark.parametrize(
    ("name", "folder"), [("a/b", "a_b"), ("..", "_"), ("CON", "CON_"), (" bear. ", "bear"), ("a:b?", "a_b_")]
)
def test_a_class_name_never_leaves_the_folder(name: str, folder: str, tmp_path: Path):
    (placement,) = plan_sort([Answer(str(tmp_path / "x.jpg"), "ok", name, 1.0)], tmp_path / "s", tmp_path)
    assert placement.target == tmp_path / "s" / folder / "x.jpg"


@pytest.mark.parametrize("names", [("a/b", "a_b"), ("Bear", "bear"), ("unsure", None)])
def test_two_classes_never_share_a_folder(names: tuple[str, str | None], photos: Path):
    answers = answers_of(photos, dict(zip(SURE, names, strict=False)))
    with pytest.raises(UsageError, match="would get the same folder"):
        run(photos, answers, folder=photos.parent / "sorted")


def test_a_photo_that_is_gone_fails_alone(photos: Path):
    (photos / "100/a.jpg").unlink()
    applied = run(photos, answers_of(photos), folder=photos.parent / "s", sidecars="auto")
    assert applied.failures == [(photos / "100/a.jpg", "no such photo")]
    assert (applied.placed.total(), applied.written) == (2, 2)
    assert undo(photos.parent / "undo.jsonl").removed == 4


@pytest.mark.parametrize("how", HOW)
def test_undo_keeps_what_was_changed_and_the_last_copy_of_a_photo(how: str, photos: Path):
    target = photos.parent / "s"
    run(photos, answers_of(photos), folder=target, how=how)
    changed, last = target / "moose/100/a.jpg", target / "raccoon/100/b.jpg"
    changed.unlink()
    changed.write_bytes(b"edited")
    (photos / "100/b.jpg").unlink()
    done = undo(photos.parent / "undo.jsonl")
    assert changed.read_bytes() == b"edited"
    assert last.exists() == (how != "symlink")  # a link to nothing holds nothing
    assert {path for path, _ in done.left} == ({changed} if how == "symlink" else {changed, last})
    assert (photos.parent / "undo.jsonl").exists()
    assert not (target / "moose/101").exists()


def test_sidecars_are_merged_beside_the_photos_and_undo_restores_their_bytes(photos: Path):
    mine = with_keyword(None, "forest")
    (photos / "100/a.jpg.xmp").write_bytes(mine)
    (photos / "100/b.xmp").write_bytes(with_keyword(None, "raccoon"))
    before = content(photos)
    applied = run(photos, answers_of(photos), sidecars="auto")
    assert (applied.written, applied.unchanged) == (2, 1)
    after = content(photos)
    assert keywords(after["100/a.jpg.xmp"]) == ["forest", "moose"]
    assert keywords(after["101/a.xmp"]) == ["moose"]
    assert after["100/b.xmp"] == before["100/b.xmp"]
    done = undo(photos.parent / "undo.jsonl")
    assert (done.removed, done.restored, done.left) == (1, 1, [])
    assert content(photos) == before


def test_with_sorting_sidecars_go_to_the_sorted_photos_and_begin_from_the_photo_s(photos: Path):
    (photos / "100/a.xmp").write_bytes(with_keyword(None, "forest"))
    before = content(photos)
    run(photos, answers_of(photos), folder=photos.parent / "s", sidecars="auto")
    assert keywords((photos.parent / "s/moose/100/a.xmp").read_bytes()) == ["forest", "moose"]
    assert content(photos) == before


def test_a_sidecar_that_is_not_understood_is_not_touched(photos: Path):
    (photos / "100/a.xmp").write_bytes(b"<broken")
    applied = run(photos, answers_of(photos), sidecars="auto")
    assert applied.written == 2
    assert [path for path, _ in applied.failures] == [photos / "100/a.xmp"]
    assert (photos / "100/a.xmp").read_bytes() == b"<broken"


def test_photos_with_different_classes_do_not_share_a_sidecar(photos: Path):
    shutil.copy(photos / "100/a.jpg", photos / "100/a.nef")
    answers = answers_of(photos, {"100/a.jpg": "moose", "100/a.nef": "wolf"})
    with pytest.raises(UsageError, match="share the sidecar"):
        run(photos, answers, sidecars="auto")
    assert run(photos, answers, sidecars="a.jpg.xmp").written == 2


def test_a_run_that_did_nothing_leaves_no_list(photos: Path):
    run(photos, [Answer(str(photos / "none.jpg"), "ok", "moose", 1.0)], sidecars="auto")
    assert not (photos.parent / "undo.jsonl").exists()


def test_a_list_that_was_cut_short_by_a_kill_is_undone(photos: Path):
    run(photos, answers_of(photos), folder=photos.parent / "s")
    path = photos.parent / "undo.jsonl"
    path.write_bytes(path.read_bytes() + b'{"action": "file", "pa')
    assert undo(path).removed == 3
    assert not (photos.parent / "s").exists()


@pytest.mark.parametrize("text", ["", "{}\n", "path,class\n", '{"revcd_undo": 1}\n{"action": "file", "path": "/x"}\n'])
def test_another_file_is_no_undo_list(text: str, tmp_path: Path):
    (tmp_path / "u.jsonl").write_text(text)
    with pytest.raises(InputFileError, match="not a list that revcd apply wrote"):
        undo(tmp_path / "u.jsonl")


def test_links_that_the_disk_cannot_hold_stop_the_run(photos: Path):
    other = next((Path(each) for each in ("/dev/shm", "/run") if os.access(each, os.W_OK)), None)
    if other is None or other.stat().st_dev == photos.stat().st_dev:
        pytest.skip("no second file system to write to")
    folder = other / f"revcd-test-{os.getpid()}"
    try:
        with pytest.raises(RevcdError, match="cannot be written") as raised:
            run(photos, answers_of(photos), folder=folder, how="hardlink")
        assert "--how copy" in (raised.value.hint or "")
        assert undo(photos.parent / "undo.jsonl").absent == 1
        assert not folder.exists()
    finally:
        shutil.rmtree(folder, ignore_errors=True)
