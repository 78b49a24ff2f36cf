"""The verdict's rules, one at a time."""

import dataclasses
from typing import Any

import numpy as np
import pytest
from scipy.spatial.distance import cdist

from riemod.topology.landmarks import Landmarks
from riemod.topology.verdict import Bars, Betti, Findings, bars, count, decide, longest, ratios


def findings(mod_2: tuple[int, ...], mod_3: tuple[int, ...] | None = None, **changes: Any) -> Findings:
    betti = {2: Betti(mod_2, mod_2, mod_2), 3: Betti(mod_3 or mod_2, mod_2, mod_2)}
    p_values = {degree: 0.01 if mod_2[degree] else 0.9 for degree in (1, 2)}
    return dataclasses.replace(Findings(1000, 5, betti, 1.0, p_values, (2.0, 2.1), 0.05, 0.0), **changes)


@pytest.mark.parametrize(
    ("mod_2", "mod_3", "name"),
    [
        ((1, 1, 0), (1, 1, 0), "circle"),
        ((1, 0, 1), (1, 0, 1), "sphere"),
        ((1, 2, 1), (1, 2, 1), "torus"),
        ((1, 2, 1), (1, 1, 0), "klein bottle"),
        ((1, 0, 0), (1, 0, 0), "contractible"),
        ((1, 1, 1), (1, 0, 0), "undecided"),  # the projective plane
        ((1, 2, 0), (1, 2, 0), "undecided"),
        ((2, 1, 0), (2, 1, 0), "undecided"),
    ],
)
def test_betti_numbers_decide(mod_2: tuple[int, ...], mod_3: tuple[int, ...], name: str) -> None:
    assert decide(findings(mod_2, mod_3))[0] == name


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"points": 60}, "60 distinct points"),
        ({"agreement": 0.4}, "40% of the counts"),
        ({"p_values": {1: 0.2, 2: 0.01}}, "p = 0.2 in degree 1"),
        ({"p_values": {1: 0.01, 2: 0.06}}, "p = 0.06 in degree 2"),
    ],
)
def test_weak_findings_are_undecided(changes: dict[str, Any], words: str) -> None:
    name, why = decide(findings((1, 2, 1), **changes))
    assert name == "undecided"
    assert words in why


@pytest.mark.parametrize(
    ("mod_2", "mod_3", "words"),
    [
        ((1, 2, 0), (1, 2, 0), "are those of two loops that meet, as in a figure eight, and of other spaces"),
        ((1, 1, 1), (1, 0, 0), "a projective plane"),
        ((1, 1, 1), (1, 1, 1), "the product of a sphere and a circle"),
        ((1, 3, 3), (1, 3, 3), "a 3-torus"),
        ((2, 1, 0), (2, 1, 0), "2 pieces with a gap between them; fit each on its own"),
        ((1, 5, 0), (1, 5, 0), "belong to none of the manifolds known here"),
    ],
)
def test_spaces_without_a_name_are_mentioned(mod_2: tuple[int, ...], mod_3: tuple[int, ...], words: str) -> None:
    name, why = decide(findings(mod_2, mod_3))
    assert name == "undecided"
    assert words in why


LOOP = {1: 0.01, 2: 0.01}


@pytest.mark.parametrize(
    ("betti", "points", "p_values", "name"),
    [
        ((1, 0, 1), 3000, LOOP, "undecided"),
        ((1, 0, 1), 3000, {1: 0.06, 2: 0.01}, "sphere"),
        ((1, 0, 0), 499, LOOP, "undecided"),
        ((1, 0, 0), 499, {1: 0.9, 2: 0.05}, "undecided"),
        ((1, 0, 0), 499, {1: 0.06, 2: 0.9}, "contractible"),
        ((1, 0, 0), 999, LOOP, "undecided"),
        ((1, 0, 0), 2000, LOOP, "undecided"),
        ((1, 1, 0), 499, LOOP, "circle"),
    ],
)
def test_a_bar_too_short_to_count_may_be_a_loop_seen_through_few_points(
    betti: tuple[int, ...], points: int, p_values: dict[int, float], name: str
) -> None:
    found, why = decide(findings(betti, points=points, p_values=p_values))
    assert found == name
    assert ("longer than the nulls', and too short to count" in why) == (name == "undecided")


def test_a_circle_needs_no_class_of_degree_2() -> None:
    assert decide(findings((1, 1, 0), p_values={1: 0.01, 2: 1.0}))[0] == "circle"


@pytest.mark.parametrize(
    ("dimension", "coordinates", "name"),
    [
        ((2.1, 1.9), 10, "contractible"),
        ((2.1, 2.8), 10, "undecided"),  # a 3-sphere would look like this
        ((2.9, 2.8), 3, "contractible"),
        ((2.9, 2.8), None, "undecided"),
        ((float("nan"), 1.0), 10, "undecided"),
    ],
)
def test_contractible_needs_room_for_nothing_else(
    dimension: tuple[float, float], coordinates: int | None, name: str
) -> None:
    assert decide(findings((1, 0, 0), dimension=dimension, coordinates=coordinates))[0] == name


@pytest.mark.parametrize(("flat", "name"), [(0.95, "contractible"), (0.8, "undecided")])
def test_noise_does_not_count_as_room(flat: float, name: str) -> None:
    assert decide(findings((1, 0, 0), dimension=(2.4, 2.7), flat=flat))[0] == name


def test_bars_end_at_a_share_of_the_enclosing_radius() -> None:
    angle = 2 * np.pi * np.arange(60) / 60
    points = np.stack([np.cos(angle), np.sin(angle)], 1)
    chosen = Landmarks(cdist(points, points), 0.05)
    found = bars(chosen)
    assert found.threshold == pytest.approx(1.2)
    np.testing.assert_allclose(found.diagrams[3][1], [[2 * np.sin(np.pi / 60), 1.2]], rtol=1e-6)
    assert longest(found) == pytest.approx({1: 0.6 / np.sin(np.pi / 60), 2: 1.0})
    assert count(chosen, found, {1: 2.5, 2: 1.3}) == {2: (1, 1, 0), 3: (1, 1, 0)}


def test_pieces_need_a_gap_and_a_share() -> None:
    line = np.concatenate([np.arange(40.0), 100 + np.arange(40.0), [500.0]])[:, None]
    chosen = Landmarks(cdist(line, line), 1.0)
    nothing = Bars({2: [np.empty((0, 2))] * 3}, 1.0)
    assert count(chosen, nothing, {1: 2.5, 2: 1.3}) == {2: (2, 0, 0)}
    assert count(Landmarks(chosen.distances, 30.0), nothing, {1: 2.5, 2: 1.3}) == {2: (1, 0, 0)}


def test_ratios_come_longest_first() -> None:
    np.testing.assert_allclose(ratios(np.array([[1.0, 2.0], [0.5, 2.0], [2.0, 2.2]])), [4.0, 2.0, 1.1])
