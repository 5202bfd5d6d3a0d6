"""Photos of a dataset are matched with rows of a feature file by the ends of their paths."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from revcd_cli.data.datasets.path_matching import match_paths

names = st.lists(st.sampled_from("abc"), min_size=1, max_size=3).map("/".join)


@settings(max_examples=200, deadline=None)
@given(st.lists(names, max_size=5, unique=True), st.lists(names, max_size=5, unique=True))
def test_matched_paths_have_equal_ends_and_each_row_matches_one_photo_only(wanted, offered):
    rows = match_paths(wanted, offered)
    used = [row for row in rows if row >= 0]
    assert len(set(used)) == len(used)
    for path, row in zip(wanted, rows, strict=True):
        candidates = [
            other for other in offered if f"/{other}".endswith(f"/{path}") or f"/{path}".endswith(f"/{other}")
        ]
        if row >= 0:
            assert offered[row] in candidates
            assert offered[row] == path or (path not in offered and candidates == [offered[row]])


def test_composed_and_decomposed_accents_give_the_same_name():
    assert match_paths(["café/1.jpg"], ["cafe\u0301\\1.jpg"]).tolist() == [0]
