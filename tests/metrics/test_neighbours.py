"""Photos that the most similar seen class keeps when a new class is added: against loops over photos."""

from __future__ import annotations

import pytest
import torch

from revcd_cli.metrics.neighbours import nearest_seen, photos_kept

SEEN = torch.tensor([True, False, True, True, False])


def test_the_nearest_seen_class_has_the_largest_cosine_of_centred_descriptions():
    table = torch.rand(5, 7, generator=torch.Generator().manual_seed(0)) * 100
    table[1], table[4] = table[3] * 1.02, table[0] + 0.5  # two edited copies
    assert nearest_seen(table, SEEN).tolist() == [-1, 3, -1, -1, 0]
    centre = table[SEEN].mean(0)
    cosines = torch.nn.functional.cosine_similarity(table[4] - centre, table - centre)
    assert cosines[SEEN].max() == cosines[0]


def test_without_seen_classes_there_is_no_neighbour_and_no_share():
    none = torch.zeros(3, dtype=torch.bool)
    nearest = nearest_seen(torch.rand(3, 2), none)
    assert nearest.tolist() == [-1, -1, -1]
    assert photos_kept(torch.rand(4, 3), torch.zeros(4).long(), none, nearest) is None


@pytest.mark.parametrize("seed", range(5))
def test_kept_photos_are_those_that_stay_right_when_one_new_class_is_a_candidate_as_well(seed: int):
    generator = torch.Generator().manual_seed(seed)
    labels = torch.tensor([0, 2, 3])[torch.randint(3, (60,), generator=generator)]
    scores = torch.randn(60, 5, generator=generator) + 1.5 * torch.nn.functional.one_hot(labels, 5)
    nearest = torch.tensor([-1, 3, -1, -1, 3])
    shares = []
    for new in (1, 4):
        right = [row for row in range(60) if labels[row] == 3 and max((0, 2, 3), key=lambda c: scores[row, c]) == 3]
        stays = [row for row in right if max((0, 2, 3, new), key=lambda c: scores[row, c]) == 3]
        shares.append(len(stays) / len(right))
    assert photos_kept(scores, labels, SEEN, nearest) == pytest.approx(sum(shares) / 2)


def test_a_copy_of_a_class_that_scores_like_it_takes_no_photo_without_a_penalty_and_all_with_one():
    scores = torch.tensor([[3.0, 3.0, 1.0, 0.0, -9.0], [2.0, 2.0, 0.0, 0.0, -9.0]])
    labels, nearest = torch.tensor([0, 0]), torch.tensor([-1, 0, -1, -1, -1])
    assert photos_kept(scores, labels, SEEN, nearest) == 1
    assert photos_kept(scores - 0.5 * SEEN, labels, SEEN, nearest) == 0
