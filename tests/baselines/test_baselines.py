"""Baselines: each equals a slow reference and does not depend on the order of rows or classes."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from revcd_cli.baselines.class_norm import CLASS_NORM_GRID, class_norm
from revcd_cli.baselines.exem import EXEM_GRID, exem
from revcd_cli.baselines.linear import ESZSL_GRID, RIDGE_GRID, SAE_GRID, eszsl, ridge, sae
from revcd_cli.baselines.oracle import PrototypeOracle
from revcd_cli.baselines.preprocessing import DESCRIPTIONS, LeastSquares, describe_by, scale_features, seen_positions
from revcd_cli.baselines.probe import CONSE_GRID, PROBE_GRID, conse, linear_probe
from revcd_cli.core.precondition import class_means
from revcd_cli.core.trainer import TrainingRows
from revcd_cli.scoring.class_network import ClassStandardisation

N_ATTRIBUTES, N_CLASSES = 5, 4
GRIDS = {
    ridge: RIDGE_GRID,
    eszsl: ESZSL_GRID,
    sae: SAE_GRID,
    conse: CONSE_GRID[::5],
    exem: EXEM_GRID[::5],
    class_norm: [{**setting, "width": 16, "epochs": 8} for setting in CLASS_NORM_GRID],
}


def make_rows(n_rows: int = 30, dim: int = 8) -> TrainingRows:
    """Return photos whose features are a linear map of their class's description, plus noise; class sizes differ."""
    generator = torch.Generator().manual_seed(0)
    prototypes = torch.randn(N_CLASSES, N_ATTRIBUTES, generator=generator)
    labels = torch.arange(n_rows) % 7 % N_CLASSES
    clean = prototypes[labels] @ torch.randn(N_ATTRIBUTES, dim, generator=generator)
    return TrainingRows(clean + 0.3 * torch.randn(n_rows, dim, generator=generator), labels, prototypes)


def candidates_and_photos(dim: int = 8) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(1)
    return torch.randn(6, N_ATTRIBUTES, generator=generator), torch.randn(9, dim, generator=generator)


def scaled(rows: TrainingRows, x: Tensor, kind: str) -> tuple[Tensor, Tensor]:
    scaler, trained = scale_features(rows.features, kind)
    return trained, scaler(x.double())


@pytest.mark.parametrize("shape", [(30, 8), (6, 20)], ids=["more rows", "more features"])
def test_least_squares_solves_the_normal_equations_with_either_gram_matrix(shape: tuple[int, int]) -> None:
    x, q = torch.randn(*shape, dtype=torch.double), torch.randn(shape[0], 3, dtype=torch.double)
    shifts = torch.tensor([0.1, 2.0, 30.0], dtype=torch.double)
    system, identity = LeastSquares(x), torch.eye(shape[1], dtype=torch.double)
    for k, shift in enumerate(shifts.tolist()):
        expected = torch.linalg.solve(x.T @ x + shift * identity, x.T @ q)
        torch.testing.assert_close(system.solve(q, shift), expected)
        torch.testing.assert_close(system.solve_each(q, shifts)[:, k], expected[:, k])


@pytest.mark.parametrize("kind", DESCRIPTIONS)
def test_descriptions_are_scaled_to_unit_length(kind: str) -> None:
    length = describe_by(make_rows().prototypes, kind)(candidates_and_photos()[0]).norm(dim=1)
    torch.testing.assert_close(length, torch.ones_like(length))


@pytest.mark.parametrize("kind", ["standard", "l2", "raw", "roots"])
def test_scaled_features_have_a_mean_square_of_one_and_raw_ones_keep_their_directions(kind: str) -> None:
    rows = make_rows()
    scale, x = scale_features(rows.features, kind)
    assert float(x.square().mean()) == pytest.approx(1, rel=1e-6)
    torch.testing.assert_close(scale(rows.features.double()), x)
    if kind == "raw":
        torch.testing.assert_close(x / x.norm(), rows.features.double() / rows.features.double().norm())


def test_a_candidate_is_seen_if_a_training_class_with_photos_has_its_description() -> None:
    rows = make_rows()
    without_photos = TrainingRows(rows.features, rows.labels.clamp(max=N_CLASSES - 2), rows.prototypes)
    candidates = torch.cat([rows.prototypes[[2, 0]], candidates_and_photos()[0], rows.prototypes[[-1]]])
    assert seen_positions(candidates, without_photos).tolist() == [2, 0, *[-1] * 7]
    twice = TrainingRows(rows.features, rows.labels, rows.prototypes[[0, 1, 1, 2]])
    assert seen_positions(rows.prototypes[[1, 2]], twice).tolist() == [1, 3]  # of equal ones the first


@pytest.mark.parametrize("method", [ridge, eszsl, sae, conse, exem], ids=lambda method: method.__name__)
def test_training_classes_may_be_more_than_the_candidates_and_may_lack_photos(method: Callable) -> None:
    rows, (candidates, photos) = make_rows(), candidates_and_photos()
    more = TrainingRows(rows.features, rows.labels, torch.cat([rows.prototypes, candidates[:2]]))
    for scorer in method(more, GRIDS[method]):
        assert scorer(photos, candidates[2:]).isfinite().all()


@pytest.mark.parametrize("dim", [8, 40])
def test_ridge_regression_minimises_its_class_balanced_cost(dim: int) -> None:
    rows, (candidates, photos) = make_rows(dim=dim), candidates_and_photos(dim)
    for setting, scorer in zip(RIDGE_GRID, ridge(rows, RIDGE_GRID), strict=True):
        describe = describe_by(rows.prototypes, setting["descriptions"])
        x, q = scaled(rows, photos, setting["features"])
        gram, moment = torch.zeros(dim, dim).double(), torch.zeros(dim, N_ATTRIBUTES).double()
        for c in range(N_CLASSES):  # the mean over a class's photos, and then over classes
            own = x[rows.labels == c]
            gram += own.T @ own / len(own) / N_CLASSES
            moment += own.mean(0).outer(describe(rows.prototypes)[c]) / N_CLASSES
        predicted = q @ torch.linalg.inv(gram + setting["shrink"] * torch.eye(dim).double()) @ moment
        z = describe(candidates)
        expected = predicted @ z.T
        if setting["compare"] == "cosine":
            expected /= predicted.norm(dim=1, keepdim=True) * z.norm(dim=1)
        torch.testing.assert_close(scorer(photos, candidates), expected)


def test_eszsl_equals_the_published_closed_form() -> None:
    rows, (candidates, photos) = make_rows(), candidates_and_photos()
    for setting, scorer in zip(ESZSL_GRID, eszsl(rows, ESZSL_GRID), strict=True):
        describe = describe_by(rows.prototypes, setting["descriptions"])
        x, q = scaled(rows, photos, setting["features"])
        s, y = describe(rows.prototypes), torch.zeros(len(x), N_CLASSES).double()
        for row, label in enumerate(rows.labels.tolist()):
            y[row, label] = 1
        y = y if setting["labels"] == "0 and 1" else 2 * y - 1
        left = torch.linalg.inv(x.T @ x + len(x) * setting["shrink"] * torch.eye(x.shape[1]).double())
        right = torch.linalg.inv(s.T @ s + setting["lambda"] * torch.eye(s.shape[1]).double())
        torch.testing.assert_close(scorer(photos, candidates), q @ left @ x.T @ y @ s @ right @ describe(candidates).T)


@pytest.mark.parametrize("dim", [8, 40])
def test_sae_solves_its_sylvester_equation(dim: int) -> None:
    rows, (candidates, photos) = make_rows(dim=dim), candidates_and_photos(dim)
    for setting, scorer in zip(SAE_GRID, sae(rows, SAE_GRID), strict=True):
        describe, weight = describe_by(rows.prototypes, setting["descriptions"]), setting["lambda"]
        x, q = scaled(rows, photos, setting["features"])
        t = describe(rows.prototypes)[rows.labels]
        # A W + W B = C as one system: (I x A + B^T x I) vec(W) = vec(C), by columns.
        a, b, c = t.T @ t, weight * x.T @ x, (1 + weight) * t.T @ x
        whole = torch.kron(torch.eye(dim).double(), a) + torch.kron(b.T.contiguous(), torch.eye(N_ATTRIBUTES).double())
        w = torch.linalg.lstsq(whole, c.T.reshape(-1, 1), driver="gelsd").solution.reshape(dim, N_ATTRIBUTES).T
        z = describe(candidates)
        ours, theirs = (q @ w.T, z) if setting["direction"] == "to descriptions" else (q, z @ w)
        expected = F.normalize(ours, dim=1) @ F.normalize(theirs, dim=1).T
        torch.testing.assert_close(scorer(photos, candidates), expected, atol=1e-5, rtol=1e-5)


def test_conse_predicts_the_weighted_mean_of_the_most_probable_seen_descriptions() -> None:
    rows, (candidates, photos) = make_rows(), candidates_and_photos()
    settings = [{"decay": 0.01, "descriptions": "standardise", "top": top} for top in (1, 2, 1000)]
    (logits,) = (scorer(photos, candidates) for scorer in linear_probe(rows, [{"decay": 0.01}]))
    seen = describe_by(rows.prototypes, "standardise")(rows.prototypes)
    for setting, scorer in zip(settings, conse(rows, settings), strict=True):
        scores = scorer(photos, candidates)
        for row, posterior in enumerate(logits.double().softmax(1)):
            order = posterior.argsort(descending=True)[: setting["top"]].tolist()
            mean = sum(posterior[k] * seen[k] for k in order) / sum(posterior[k] for k in order)
            z = describe_by(rows.prototypes, "standardise")(candidates)
            expected = torch.stack([mean @ each / mean.norm() / each.norm() for each in z])
            torch.testing.assert_close(scores[row], expected)


def test_the_gradient_of_the_linear_probe_is_zero_at_its_optimum() -> None:
    rows = make_rows()
    (scorer,) = linear_probe(rows, [{"decay": 0.05}])
    scaler, weight, bias = scorer.args
    weight, bias = weight.double().requires_grad_(), bias.double().requires_grad_()
    each = F.cross_entropy(F.linear(scaler(rows.features.double()), weight, bias), rows.labels, reduction="none")
    balanced = torch.stack([each[rows.labels == c].mean() for c in range(N_CLASSES)]).mean()
    (balanced + 0.05 / 2 * weight.square().sum()).backward()
    assert float(weight.grad.abs().max()) < 1e-3 and float(bias.grad.abs().max()) < 1e-3


@pytest.mark.parametrize("length", ["unit", "root"])
@pytest.mark.parametrize("features", ["l2", "standard"])
def test_class_norm_scores_equal_the_published_formula(features: str, length: str) -> None:
    rows, (candidates, photos) = make_rows(), candidates_and_photos()
    setting = {"features": features, "descriptions": "raw", "length": length, "width": 6, "epochs": 3}
    (scorer,) = class_norm(rows, [setting])
    first, _, second, one, _, other, last, *_ = scorer.args[1]

    def standardised(h: Tensor, layer: ClassStandardisation) -> Tensor:
        return (h - layer.mean) / (layer.variance + 1e-5).sqrt()

    s = candidates / candidates.norm(dim=1, keepdim=True) * (N_ATTRIBUTES**0.5 if length == "root" else 1)
    h = standardised((s @ first.weight.T + first.bias).relu() @ second.weight.T + second.bias, one)
    visual = standardised(h.relu(), other) @ last.weight.T + last.bias
    visual = visual.relu() if features == "l2" else visual
    x = photos if features == "l2" else (photos - rows.features.mean(0)) / rows.features.std(0, correction=0)
    expected = torch.stack([25 * F.cosine_similarity(x, each, dim=1) for each in visual], dim=1)
    torch.testing.assert_close(scorer(photos, candidates), expected, atol=1e-4, rtol=1e-4)


def test_class_norm_depends_on_its_seed_and_keeps_the_random_state_of_the_caller() -> None:
    rows, (candidates, photos) = make_rows(), candidates_and_photos()
    setting = {**CLASS_NORM_GRID[0], "width": 16}
    torch.manual_seed(5)
    expected = torch.rand(2)
    torch.manual_seed(5)
    first, again, other = (next(class_norm(rows, [setting], seed))(photos, candidates) for seed in (0, 0, 1))
    assert torch.equal(first, again) and not torch.equal(first, other)
    assert torch.equal(torch.rand(2), expected)


def reordered(rows: TrainingRows, photos: Tensor, classes: Tensor, attributes: Tensor) -> TrainingRows:
    position = classes.argsort()  # of each class, among the reordered ones
    return TrainingRows(rows.features[photos], position[rows.labels[photos]], rows.prototypes[classes][:, attributes])


@pytest.mark.parametrize("method", [ridge, eszsl, sae, conse, exem], ids=lambda method: method.__name__)
def test_scores_do_not_depend_on_the_order_of_photos_classes_and_attributes(method: Callable) -> None:
    rows, (candidates, photos) = make_rows(), candidates_and_photos()
    order, attributes = torch.randperm(6), torch.randperm(N_ATTRIBUTES)
    shuffled = reordered(rows, torch.randperm(len(rows)), torch.randperm(N_CLASSES), attributes)
    grid = GRIDS[method]
    for ours, theirs in zip(method(rows, grid), method(shuffled, grid), strict=True):
        torch.testing.assert_close(
            theirs(photos, candidates[order][:, attributes]), ours(photos, candidates)[:, order], atol=2e-3, rtol=2e-3
        )


@pytest.mark.parametrize("method", GRIDS, ids=lambda method: method.__name__)
def test_a_score_depends_on_its_photo_and_class_only(method: Callable) -> None:
    rows, (candidates, photos) = make_rows(), candidates_and_photos()
    for scorer in method(rows, GRIDS[method]):
        scores = scorer(photos, candidates)
        torch.testing.assert_close(scorer(photos[3:5], candidates[2:]), scores[3:5, 2:])


@pytest.mark.parametrize("method", GRIDS, ids=lambda method: method.__name__)
def test_a_setting_gives_the_same_scores_alone_and_in_its_grid(method: Callable) -> None:
    rows, (candidates, photos) = make_rows(), candidates_and_photos()
    grid = GRIDS[method]
    together = [scorer(photos, candidates) for scorer in method(rows, grid)]
    for k in (0, len(grid) // 2, len(grid) - 1):
        (alone,) = method(rows, [grid[k]])
        torch.testing.assert_close(alone(photos, candidates), together[k], atol=2e-3, rtol=2e-3)


@pytest.mark.parametrize("method", GRIDS, ids=lambda method: method.__name__)
def test_every_baseline_finds_unseen_classes_if_features_are_linear_in_the_description(
    method: Callable,
) -> None:
    generator = torch.Generator().manual_seed(3)
    table, to_features = torch.randn(30, 5, generator=generator), torch.randn(5, 24, generator=generator)
    labels = torch.arange(25).repeat(8)
    features = table[labels] @ to_features + 0.3 * torch.randn(200, 24, generator=generator)
    photos = table[25:].repeat(6, 1) @ to_features
    grid = GRIDS[method]
    if method is class_norm:  # few photos are few steps
        grid = [{**CLASS_NORM_GRID[0], "features": "standard", "width": 64, "epochs": 300}]
    best = max(
        float((scorer(photos, table[25:]).argmax(1) == torch.arange(5).repeat(6)).double().mean())
        for scorer in method(TrainingRows(features, labels, table[:25]), grid)
    )
    assert best >= 0.8  # chance is 0.2


def test_the_grid_of_the_linear_probe_begins_with_the_strongest_penalty() -> None:
    decays = [setting["decay"] for setting in PROBE_GRID]
    assert decays == sorted(decays, reverse=True)


def test_the_oracle_excludes_each_photo_from_the_mean_it_is_compared_with() -> None:
    rows, (_, photos) = make_rows(), candidates_and_photos()
    labels = torch.tensor([0, 0, 0, 1, 1, 1, 1, 2, 1])  # class 2 has one photo alone
    oracle = PrototypeOracle(rows, {"features": "l2"}, photos, labels, 3)
    scores = oracle.own_scores()
    seen = class_means(F.normalize(rows.features.double(), dim=1), rows.labels, N_CLASSES)
    x = F.normalize(photos.double(), dim=1)
    for i in range(len(x)):
        others = torch.arange(len(x)) != i
        means = [*seen, *(x[others & (labels == c)].sum(0) for c in range(3))]
        expected = torch.stack([F.cosine_similarity(x[i], mean, dim=0) for mean in means])
        torch.testing.assert_close(scores[i], expected)
    assert scores[7, N_CLASSES + 2] == 0


def test_a_class_mean_is_the_mean_of_its_rows() -> None:
    x, labels = torch.arange(6.0).reshape(3, 2), torch.tensor([2, 0, 2])
    assert class_means(x, labels, 4).tolist() == [[2, 3], [0, 0], [2, 3], [0, 0]]
