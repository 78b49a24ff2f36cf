"""The verdict's rules on few points, one at a time."""

import dataclasses
from typing import Any

import numpy as np
import pytest

from riemod.topology.few import Lengths, Ranks, Reading
from riemod.topology.few_verdict import FewFindings, by_floors, by_p_values, decide_few
from riemod.topology.verdict import Betti

NEEDED = {"circle": 40, "sphere": 100, "torus": 200}


def findings(mod_2: tuple[int, ...], mod_3: tuple[int, ...] | None = None, **changes: Any) -> FewFindings:
    numbers = {2: mod_2, 3: mod_3 or mod_2}
    betti = {prime: Betti(found, found, found) for prime, found in numbers.items()}
    p_values = {degree: 0.02 if mod_2[degree] else 0.9 for degree in (1, 2)}
    plain = FewFindings(250, 6, betti, numbers, 1.0, p_values, 0.9, mod_2 == (1, 2, 1), (2.0, 2.1), 0.05, dict(NEEDED))
    return dataclasses.replace(plain, **changes)


@pytest.mark.parametrize(
    ("mod_2", "mod_3", "name"),
    [
        ((1, 1, 0), (1, 1, 0), "circle"),
        ((1, 0, 1), (1, 0, 1), "sphere"),
        ((1, 2, 1), (1, 2, 1), "torus"),
        ((1, 0, 0), (1, 0, 0), "contractible"),
        ((1, 2, 1), (1, 1, 0), "undecided"),  # a Klein bottle
        ((1, 1, 1), (1, 0, 0), "undecided"),
        ((1, 2, 0), (1, 2, 0), "undecided"),
        ((2, 1, 0), (2, 1, 0), "undecided"),
    ],
)
def test_betti_numbers_decide(mod_2: tuple[int, ...], mod_3: tuple[int, ...], name: str) -> None:
    assert decide_few(findings(mod_2, mod_3))[0] == name


@pytest.mark.parametrize(
    ("numbers", "changes", "words"),
    [
        ((1, 1, 0), {"points": 39}, "39 distinct points are fewer than the 40"),
        ((1, 1, 0), {"agreement": 0.4}, "40% of the counts"),
        ((1, 1, 0), {"second": 0.5}, "may be a second loop"),
        ((1, 2, 1), {"product": False}, "enclose no common surface"),
        ((1, 0, 0), {"by_length": {2: (1, 1, 0), 3: (1, 1, 0)}}, "would be a circle, but p = 0.9 in degree 1"),
        ((1, 0, 0), {"by_length": {2: (1, 0, 1), 3: (1, 0, 1)}}, "would be a sphere, but p = 0.9 in degree 2"),
        ((1, 0, 0), {"p_values": {1: 0.9, 2: 0.05}}, "longer than the nulls'"),
        ((1, 0, 0), {"product": True}, "longer than the nulls'"),
        ((1, 0, 0), {"dimension": (2.0, 2.9)}, "room for classes above degree 2"),
    ],
)
def test_weak_findings_are_undecided(numbers: tuple[int, ...], changes: dict[str, Any], words: str) -> None:
    name, why = decide_few(findings(numbers, **changes))
    assert name == "undecided"
    assert words in why


@pytest.mark.parametrize(
    ("points", "needed", "hidden"),
    [
        (199, NEEDED, "but a torus of this noise could"),
        (99, NEEDED, "but a sphere or a torus of this noise could"),
        (499, {**NEEDED, "torus": None}, "but a torus of this noise could"),
    ],
)
def test_absence_needs_power(points: int, needed: dict[str, int | None], hidden: str) -> None:
    name, why = decide_few(findings((1, 0, 0), points=points, needed=needed))
    assert name == "undecided"
    assert hidden in why


def test_undecided_says_how_many_points_would_be_enough() -> None:
    _, why = decide_few(findings((1, 2, 0), needed={"circle": 40, "sphere": None, "torus": 200}))
    assert "a circle 40, a sphere more than were tried, a torus 200; here are 250" in why
    assert "needs this many points" not in decide_few(findings((1, 1, 0)))[1]


def reading(lengths: Lengths, product: bool) -> Reading:
    return Reading(1, {2: lengths, 3: lengths}, product, {}, 1.0)


@pytest.mark.parametrize(
    ("lengths", "product", "numbers"),
    [
        ((1.0, 1.0, 1.0), False, (1, 0, 0)),
        ((3.0, 1.0, 1.0), False, (1, 1, 0)),
        ((3.0, 3.0, 1.0), False, (1, 2, 0)),
        ((3.0, 3.0, 1.0), True, (1, 2, 1)),
        # The longest loop of a torus need not be longer than those of the nulls, if the second is.
        ((2.0, 1.9, 1.0), True, (1, 2, 1)),
        ((2.0, 1.9, 1.0), False, (1, 0, 0)),
        ((1.0, 1.0, 3.0), True, (1, 0, 1)),
    ],
)
def test_counts_by_p_values_and_by_floors(
    lengths: tuple[float, float, float], product: bool, numbers: tuple[int, ...]
) -> None:
    drawn = np.array([(2.0, 1.5, 1.5)] * 99)
    found = reading(Lengths(*lengths), product)
    assert by_p_values(found, Ranks([drawn], {2: drawn, 3: drawn}), 0.05) == {2: numbers, 3: numbers}
    assert by_floors(found, Lengths(2.0, 1.5, 1.5)) == {2: numbers, 3: numbers}
