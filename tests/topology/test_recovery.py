"""`ModuliRecovery` on manifolds that are known, on data without one, and on bad input."""

import importlib
import logging
from typing import Any

import jaxtyping
import numpy as np
import pytest
import torch
from scipy.spatial.distance import cdist
from sklearn.base import clone
from sklearn.utils.estimator_checks import estimator_checks_generator

import riemod
from analysis import few_points
from analysis.clouds import KNOWN, NOISES, circle, flat_torus, sphere
from analysis.field import shapes
from riemod.alignment import graph_distances
from riemod.topology import ModuliRecovery, _neighbors, few, looks, nulls, recovery
from riemod.topology.verdict import bars, longest_of_null

# The package's attribute of this name is the function.
landmarks = importlib.import_module("riemod.topology.landmarks")

# Enough for a corrected p-value of 0.04 in two degrees, and so for a verdict.
QUICK: dict[str, Any] = {"n_nulls": 50, "n_subsamples": 2}


FEW = {"circle": circle, "sphere": sphere, "torus": flat_torus}


def in_six(points: np.ndarray) -> np.ndarray:
    """Add noise of a tenth of the radius in six coordinates."""
    return np.pad(points, ((0, 0), (0, 6 - points.shape[1]))) + 0.1 * rng(7).standard_normal((len(points), 6))


def rng(seed: int = 500) -> np.random.Generator:
    return np.random.default_rng(seed)


@pytest.mark.parametrize("name", ["circle", "sphere", "disc"])
def test_known_manifolds(name: str) -> None:
    expected, draw = KNOWN[name]
    found = riemod.topology.ModuliRecovery(n_nulls=40, n_subsamples=2).fit(draw(400, rng()))
    assert found.manifold_ == expected, found.report()
    closed = {degree for degree in (1, 2) if found.betti_[2].numbers[degree]}
    assert all(found.p_values_[degree] <= 0.05 for degree in closed)


@pytest.mark.slow
@pytest.mark.parametrize("name", [*KNOWN, *NOISES])
def test_error_rates(name: str) -> None:
    expected, draw = KNOWN.get(name, ("contractible", NOISES.get(name)))
    found = [ModuliRecovery(random_state=seed).fit(draw(1000, rng(seed))).manifold_ for seed in range(600, 605)]
    right = {expected} if name in KNOWN else {"contractible", "undecided"}
    assert sum(manifold in right for manifold in found) >= 4


def test_noise_of_high_dimension_is_undecided() -> None:
    found = ModuliRecovery(n_nulls=20, n_subsamples=2).fit(rng().standard_normal((200, 12)))
    assert found.manifold_ == "undecided"
    assert found.p_values_[1] > 0.05


def test_two_pieces_are_seen() -> None:
    points = np.concatenate([circle(150, rng()), circle(150, rng(1)) + 20])
    found = ModuliRecovery(n_nulls=5, n_subsamples=2).fit(points)
    assert found.betti_[2].numbers[0] == found.betti_[3].numbers[0] == 2
    assert found.manifold_ == "undecided"


def test_outliers_are_no_piece() -> None:
    points = np.concatenate([circle(200, rng()), [[5.0, 0.0], [0.0, 6.0]]])
    assert ModuliRecovery(n_nulls=5, n_subsamples=2).fit(points).betti_[2].numbers[0] == 1


@pytest.mark.slow
def test_states_of_narrowly_tuned_units_take_the_geodesic_metric() -> None:
    angle, center = rng().uniform(0, 2 * np.pi, (300, 1)), np.linspace(0, 2 * np.pi, 64, endpoint=False)
    states = np.maximum(np.exp(20 * (np.cos(angle - center) - 1)) - 0.1, 0) + 0.02 * rng().standard_normal((300, 64))
    found = ModuliRecovery(n_nulls=40, n_subsamples=2).fit(states)
    assert (found.metric_, found.manifold_) == ("geodesic", "circle"), found.report()


@pytest.mark.slow
def test_distances_of_a_weight_graph() -> None:
    angle = np.sort(rng().uniform(0, 2 * np.pi, 300))
    weight = np.exp(4 * np.cos(angle - angle[:, None])) * rng().choice([-1, 1], (300, 300))
    found = ModuliRecovery(metric="precomputed", **QUICK).fit(graph_distances(weight, "diffusion"))
    assert found.manifold_ == "circle", found.report()


def test_functions_as_nulls() -> None:
    seen = []

    def null(data: np.ndarray, generator: torch.Generator) -> np.ndarray:
        seen.append(data.shape)
        return nulls.gaussian(data, generator)

    found = ModuliRecovery(nulls=["rolled", null], **QUICK).fit(KNOWN["circle"][1](300, rng()))
    assert set(seen) == {(300, 2)}
    assert [len(kind) for kind in found.null_ratios_[1]] == [50, 50]


@pytest.mark.parametrize(("metric", "searches"), [("auto", 2), ("euclidean", 1)])
def test_each_cloud_is_searched_and_projected_once(metric: Any, searches: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """The points once, their projection once more for its metric; then 2 subsamples and a null."""
    calls = {"neighborhood": 0, "local_axes": 0}

    def counted(name: str) -> Any:
        inner = getattr(_neighbors, name)

        def call(*arguments: Any) -> Any:
            calls[name] += 1
            return inner(*arguments)

        return call

    search = counted("neighborhood")
    for module in (recovery, landmarks):
        monkeypatch.setattr(module, "neighborhood", search)
    monkeypatch.setattr(_neighbors, "local_axes", counted("local_axes"))
    monkeypatch.setattr(looks, "DOUBTFUL", looks.BENT)
    ModuliRecovery(metric=metric, n_nulls=1, n_subsamples=2, nulls=["gaussian"]).fit(rng().standard_normal((500, 4)))
    # No name fits, so nothing more is looked at. Local axes of 40 and 41 points give dimensions, of 20 the projection.
    assert calls == {"neighborhood": searches + 3, "local_axes": 3 + 3}


def test_nulls_are_alike_modulo_2_and_3() -> None:
    """Bars of null data have hardly any torsion, so p-values are computed modulo 2 only."""
    g = torch.Generator().manual_seed(0)
    for _ in range(5):
        drawn = landmarks.denoised(nulls.gaussian(rng().standard_normal((400, 4)), g))
        found = bars(landmarks.landmark_distances(drawn, "euclidean", g))
        other = longest_of_null(found._replace(diagrams={2: found.diagrams[3]}))
        assert longest_of_null(found) == pytest.approx(other, rel=0.03)


def test_same_seed_same_bits() -> None:
    points = KNOWN["disc"][1](200, rng())
    first, second, other = (
        ModuliRecovery(random_state=seed, n_nulls=10, n_subsamples=2).fit(points) for seed in (3, 3, 4)
    )
    assert first.report() == second.report()
    for kind, again in zip(first.null_ratios_[1], second.null_ratios_[1], strict=True):
        np.testing.assert_array_equal(kind, again)
    assert not np.array_equal(first.null_ratios_[1][1], other.null_ratios_[1][1])


def test_processes_change_nothing() -> None:
    points = KNOWN["circle"][1](120, rng())
    one, two = (ModuliRecovery(n_nulls=25, n_subsamples=1, n_jobs=jobs).fit(points) for jobs in (None, 2))
    assert one.report() == two.report()
    for kind, again in zip(one.null_ratios_[2], two.null_ratios_[2], strict=True):
        np.testing.assert_array_equal(kind, again)


def test_nulls_end_early_where_no_bar_can_count() -> None:
    noise = ModuliRecovery(n_subsamples=1).fit(rng().standard_normal((150, 2)))
    assert [len(kind) for kind in noise.null_ratios_[1]] == [20, 20, 20]
    ring = ModuliRecovery(n_nulls=30, n_subsamples=1).fit(circle(150, rng()))
    assert [len(kind) for kind in ring.null_ratios_[1]] == [30, 30, 30]


@pytest.mark.parametrize("side", [16, pytest.param(20, marks=pytest.mark.slow)])
def test_few_points_of_a_torus_are_not_called_a_sphere_or_contractible(side: int) -> None:
    angles = np.stack(np.meshgrid(*[np.arange(side) * 2 * np.pi / side] * 2), -1).reshape(-1, 2)
    grid = np.concatenate([np.cos(angles), np.sin(angles)], 1)
    found = ModuliRecovery(n_subsamples=2).fit(grid)
    assert found.manifold_ in {"torus", "undecided"}, found.report()


@pytest.mark.parametrize(("name", "draw"), list(FEW.items()))
def test_a_hundred_points_with_noise(name: str, draw: Any) -> None:
    # The study of few points gives 8 of 10 at 80 points; the torus is recognized in about half of draws at 100.
    found = [ModuliRecovery(n_nulls=40, n_subsamples=4).fit(in_six(draw(100, rng(2000 + seed)))) for seed in range(3)]
    named = [one.manifold_ for one in found]
    assert set(named) <= {name, "undecided"}, named
    assert named.count(name) >= 1 + (name != "torus"), named


@pytest.mark.parametrize("cloud", ["S^3", "disc", "Gaussian in R^6"])
def test_few_points_without_a_manifold_say_how_many_would_be_enough(cloud: str) -> None:
    found = ModuliRecovery(n_nulls=40, n_subsamples=1).fit(few_points.draw(cloud, 100, 0.1, 2000))
    assert found.manifold_ == "undecided", found.report()
    assert set(found.needed_points_) == {"circle", "sphere", "torus"}
    assert "needs this many points" in found.reason_
    assert "second loop" in found.report()


def test_distances_of_few_points_are_read_as_the_points_are() -> None:
    points = in_six(circle(100, rng(2000)))
    one = ModuliRecovery(n_nulls=40, n_subsamples=1).fit(points)
    other = ModuliRecovery(n_nulls=40, n_subsamples=1, metric="precomputed").fit(cdist(points, points))
    assert one.longest_ == pytest.approx(other.longest_)
    assert one.manifold_ == other.manifold_ == "circle"


def test_nothing_of_few_points_stays_after_a_fit_of_many() -> None:
    found = ModuliRecovery(n_nulls=2, n_subsamples=1).fit(circle(60, rng()))
    assert found.second_loop_[0] >= 1
    # Points that nearly coincide count as one.
    found.fit(circle(few.FEW + 50, rng()))
    assert not hasattr(found, "second_loop_")
    assert "second loop" not in found.report()


def test_paths_over_few_points_are_those_over_all(monkeypatch: pytest.MonkeyPatch) -> None:
    points = KNOWN["flat-torus"][1](600, rng())
    found = []
    for count in (600, 300):
        monkeypatch.setattr(landmarks, "PATH_POINTS", count)
        found.append(ModuliRecovery(metric="geodesic", n_nulls=1, n_subsamples=1).fit(points).longest_)
    assert found[0] == pytest.approx(found[1], rel=0.2)


@pytest.mark.slow
def test_scale_place_and_tensors_do_not_matter() -> None:
    points = KNOWN["circle"][1](200, rng())
    first = ModuliRecovery(**QUICK).fit(points)
    second = ModuliRecovery(**QUICK).fit(torch.tensor(4.0 * points + 3.0, requires_grad=True))
    assert first.betti_ == second.betti_
    assert first.longest_ == pytest.approx(second.longest_)


@pytest.mark.parametrize(
    ("draw", "words"),
    [
        (shapes.gapped_circle, "no point is within a gap of"),
        (shapes.wedge, "would be a torus, but its two angles take only"),
        (shapes.immersed_klein_bottle, "would be a circle, but its angle leaves a spread of"),
    ],
)
def test_spaces_with_the_betti_numbers_of_another_are_not_given_its_name(draw: shapes.Draw, words: str) -> None:
    points = shapes.noisy(draw(1500, rng()), 0.03, rng(1))
    found = ModuliRecovery(n_nulls=40, n_subsamples=1, nulls=["uniform"]).fit(points)
    assert found.manifold_ == "undecided"
    assert words in found.reason_
    assert "recovered angles:" in found.report()


def test_a_disc_of_few_points_says_how_many_would_be_enough() -> None:
    found = ModuliRecovery(n_nulls=20, n_subsamples=1, nulls=["uniform"]).fit(KNOWN["disc"][1](600, rng()))
    assert found.manifold_ == "undecided"
    assert "could be missed with so few points; would need" in found.reason_
    assert "smallest that would have been seen" in found.report()


def test_report_says_what_was_found() -> None:
    with pytest.raises(Exception, match="not fitted"):
        ModuliRecovery().report()
    text = ModuliRecovery(**QUICK).fit(KNOWN["circle"][1](200, rng())).report()
    assert text.startswith("manifold: circle")
    assert all(word in text for word in ("mod 2", "mod 3", "p = ", "local dimension", "nulls"))


def test_much_data_is_subsampled_with_a_note(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    monkeypatch.setattr(recovery, "MOST_POINTS", 150)
    points = np.pad(KNOWN["circle"][1](400, rng()), ((0, 0), (0, 1)))
    with caplog.at_level(logging.INFO, "riemod"):
        ModuliRecovery(n_nulls=2, n_subsamples=1).fit(np.concatenate([points, points]))
    assert "150 points drawn from 800" in caplog.text
    assert "1 of 3 columns are constant" in caplog.text


def test_too_few_nulls_leave_it_undecided() -> None:
    found = ModuliRecovery(n_nulls=5, n_subsamples=1).fit(circle(200, rng()))
    assert found.manifold_ == "undecided"
    assert "would be a circle, but p = 0.333" in found.reason_


@pytest.mark.parametrize(
    ("estimator", "check"), list(estimator_checks_generator(ModuliRecovery(n_nulls=3, n_subsamples=1)))
)
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.SkipTestWarning")
def test_scikit_learn_s_own_checks(estimator: ModuliRecovery, check: Any) -> None:
    jaxtyping.config.update("jaxtyping_disable", True)  # parameters of any type may be set; `fit` looks at them
    check(clone(estimator))


POINTS = circle(50, np.random.default_rng(0))
APART = cdist(POINTS, POINTS)


@pytest.mark.parametrize(
    ("points", "options", "message"),
    [
        (np.where(POINTS > 0.9, np.nan, POINTS), {}, "NaN"),
        (np.ones((20, 3)), {}, "X must have a column that is not constant, got 3"),
        (POINTS[:5], {}, "minimum of 10"),
        (np.repeat(POINTS[:4], 9, axis=0), {}, "at least 10 distinct points, got 4"),
        (APART + np.triu(APART), {"metric": "precomputed"}, "symmetric"),
        (APART + np.eye(50), {"metric": "precomputed"}, "zero on the diagonal"),
        (POINTS, {"metric": "precomputed"}, "square"),
        (POINTS, {"metric": "cosine"}, "metric"),
        (POINTS, {"n_nulls": 0}, "n_nulls"),
        (POINTS, {"n_subsamples": 0}, "n_subsamples"),
        (POINTS, {"alpha": 5}, r"alpha must be in \(0, 1\), got 5"),
        (POINTS, {"nulls": [lambda X, g: np.full_like(X, np.nan)]}, "a function in nulls returns must be finite"),
        (POINTS, {"nulls": ["poisson"]}, "'uniform', got 'poisson'"),
        (POINTS, {"nulls": "shuffled"}, "a list of kinds"),
        (APART, {"metric": "precomputed", "nulls": ["rolled"]}, "must not hold 'rolled' for distances"),
    ],
)
def test_bad_input(points: np.ndarray, options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        ModuliRecovery(**options).fit(points)
