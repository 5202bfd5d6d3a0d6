"""The progress of a run over shards in words."""

from __future__ import annotations

from revcd_cli.cli.terminal.shard_progress import expected_photos, line
from revcd_cli.pipeline.shards.run import Progress


def test_the_line_counts_shards_photos_failures_and_what_is_left():
    state = Progress(finished=3, shards=10, photos=3000, failed=7, reused=1000, total=10_000)
    assert line(state, 100.0) == "3 of 10 shards, 3,000 photos (20.0 photos/s), 7 failed, about 6 min left"
    done = Progress(finished=10, shards=10, photos=10_000, failed=7, reused=0, total=10_000)
    assert line(done, 100.0) == "10 of 10 shards, 10,000 photos (100.0 photos/s), 7 failed"


def test_the_number_of_photos_in_archives_is_estimated_from_finished_shards():
    assert expected_photos(Progress(0, 10, 0, 0, 0, None)) is None
    assert expected_photos(Progress(2, 10, 500, 0, 0, None)) == 2500
    assert expected_photos(Progress(10, 10, 4321, 0, 0, None)) == 4321
