"""Two metrics, one verdict: what they show together, and what happens if they contradict one another."""

import dataclasses
from typing import Any

import numpy as np
import pytest
import torch

from analysis.field import shapes
from analysis.field.cases import cloud
from riemod.topology import ModuliRecovery
from riemod.topology.doubts import Evidence
from riemod.topology.fibers import Fibers
from riemod.topology.looks import Look, both, checked, metrics_for
from riemod.topology.verdict import Bars, Betti, Floors

NOTHING = Bars({2: [np.empty((0, 2))] * 3}, 1.0)
FLOORS = {1: 2.5, 2: 1.3}
TORUS, CIRCLE, NONE = ((1, 2, 1), (1, 2, 1)), ((1, 1, 0), (1, 1, 0)), ((1, 1, 1), (1, 1, 1))


def look(name: Any, metric: Any, betti: tuple[tuple[int, ...], ...], reason: str = "a reason") -> Look:
    numbers = {prime: Betti(found, found, found) for prime, found in zip((2, 3), betti, strict=True)}
    evidence = Evidence(Floors(FLOORS, FLOORS))
    return Look(metric, NOTHING, FLOORS, {}, FLOORS, {1: 0.02, 2: 0.02}, numbers, 1.0, name, reason, evidence)


ALPHA = 0.05


def test_a_name_stands_if_the_other_metric_shows_no_manifold() -> None:
    first, second = look("undecided", "euclidean", NONE), look("torus", "geodesic", TORUS)
    found = both(first, second, ALPHA)
    assert (found.manifold, found.metric) == ("torus", "geodesic")
    assert "along the graph of neighbors" in found.reason
    assert dataclasses.replace(found, reason="") == dataclasses.replace(second, reason="")


def test_two_looks_without_a_name_say_what_each_lacks() -> None:
    found = both(look("undecided", "euclidean", NONE, "one"), look("undecided", "geodesic", CIRCLE, "another"), ALPHA)
    assert (found.manifold, found.metric) == ("undecided", "euclidean")
    assert found.reason == "one; along the graph of neighbors, another"


GAPPED = Fibers(1.0, 0.1, 0.15, 0.9, 1e-9)


@pytest.mark.parametrize(
    ("shown", "evidence", "name", "betti", "stands"),
    [
        (CIRCLE, {}, "torus", TORUS, True),  # a loop of it is seen
        (TORUS, {}, "torus", TORUS, True),  # not significant, or on subsamples alone
        (TORUS, {}, "circle", CIRCLE, False),
        (TORUS, {}, "klein bottle", ((1, 2, 1), (1, 1, 0)), False),
        (((1, 0, 1),) * 2, {}, "circle", CIRCLE, False),
        (CIRCLE, {}, "contractible", ((1, 0, 0),) * 2, False),
        (NONE, {}, "contractible", ((1, 0, 0),) * 2, False),  # a bar that is longer than the nulls'
        (CIRCLE, {"fibers": GAPPED}, "circle", CIRCLE, False),
        (CIRCLE, {"fibers": Fibers(1.0, 0.1, 0.15)}, "circle", CIRCLE, True),
        (((1, 0, 1),) * 2, {"surface": 0.2}, "sphere", ((1, 0, 1),) * 2, False),
    ],
)
def test_which_names_a_look_without_a_name_contradicts(
    shown: Any, evidence: dict[str, Any], name: Any, betti: Any, stands: bool
) -> None:
    first = look("undecided", "euclidean", shown, "a gap")
    first = dataclasses.replace(first, evidence=dataclasses.replace(first.evidence, **evidence))
    found = both(first, look(name, "geodesic", betti), ALPHA)
    assert found.manifold == (name if stands else "undecided")
    assert found.reason.startswith("a contradiction: by straight distances, a gap; along") is not stands


def test_a_bar_that_is_not_significant_contradicts_nothing() -> None:
    first = dataclasses.replace(look("undecided", "euclidean", ((1, 0, 0),) * 2), p_values={1: 0.2, 2: 1.0})
    assert both(first, look("contractible", "geodesic", ((1, 0, 0),) * 2), ALPHA).manifold == "contractible"


def test_a_name_is_held_back_if_the_other_metric_shows_a_different_manifold() -> None:
    angle = np.linspace(0, 2 * np.pi, 600, endpoint=False)
    ring = np.stack([np.cos(angle), np.sin(angle)], 1)
    for name in ("circle", "contractible"):
        found, shown = checked(look(name, "euclidean", CIRCLE), ring, "geodesic", torch.Generator().manual_seed(0))
        assert shown == "Betti numbers (1, 1, 0) mod 2 and (1, 1, 0) mod 3"
        assert found.manifold == ("circle" if name == "circle" else "undecided")
        assert ("a contradiction" in found.reason and "of a circle" in found.reason) == (name != "circle")


def test_straight_distances_are_enough_for_what_is_hardly_bent_and_the_graph_for_what_is_much_bent() -> None:
    angle = np.linspace(0, 2 * np.pi, 600, endpoint=False)[:, None]
    codes = np.exp(20 * (np.cos(angle - angle[::10].T) - 1))
    assert metrics_for(np.random.default_rng(0).uniform(size=(600, 2))) == ("euclidean",)
    assert metrics_for(codes) == ("geodesic",)
    assert metrics_for(np.concatenate([np.cos(angle), np.sin(angle)], 1)) == ("euclidean", "geodesic")


QUICK: dict[str, Any] = {"n_nulls": 40, "n_subsamples": 2, "nulls": ["uniform"]}


def test_an_arc_that_nearly_closes_contradicts_itself() -> None:
    arc = shapes.noisy(shapes.gapped_circle(700, np.random.default_rng(500)), 0.05, np.random.default_rng(501))
    found = ModuliRecovery(**QUICK).fit(arc)
    assert found.manifold_ == "undecided", found.report()
    assert "a contradiction: by straight distances" in found.reason_
    assert "by the euclidean metric: undecided" in found.report()
    assert "by the geodesic metric: contractible" in found.report()


@pytest.mark.slow
def test_a_torus_that_is_bent_a_little_is_seen_along_the_graph_of_neighbors() -> None:
    torus = cloud("torus, tanh to 30", 101)
    straight, found = ModuliRecovery(metric="euclidean", **QUICK).fit(torus), ModuliRecovery(**QUICK).fit(torus)
    assert straight.manifold_ == "undecided", straight.report()
    assert (found.manifold_, found.metric_) == ("torus", "geodesic"), found.report()
    assert list(found.looks_) == ["euclidean", "geodesic"]
