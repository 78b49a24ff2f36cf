"""What speaks against a name, one thing at a time."""

import dataclasses
import math
from typing import Any

import numpy as np
import pytest

from riemod.topology.doubts import Evidence, candidate, doubt, shows
from riemod.topology.fibers import Fibers
from riemod.topology.resolution import Resolution
from riemod.topology.verdict import REACH, Bars, Betti, Findings, Floors

CLASSES = {"circle": {1: 1, 2: 0}, "torus": {1: 2, 2: 1}, "sphere": {1: 0, 2: 1}, "contractible": {1: 0, 2: 0}}
LEAST = {1: 2.5, 2: 1.3}
GOOD = Evidence(Floors({1: 4.0, 2: 2.0}, LEAST), Fibers(1.0, 0.1, 0.15), 0.99, Resolution(0.5, 0.5, 900, 900))


@pytest.mark.parametrize("name", CLASSES)
def test_good_evidence_raises_no_doubt(name: Any) -> None:
    assert doubt(name, CLASSES[name], GOOD) == ""


@pytest.mark.parametrize(
    ("name", "changes", "words"),
    [
        ("circle", {"floors": Floors({1: 2.4, 2: 1.0}, LEAST)}, "only subsamples show a bar"),
        ("torus", {"floors": Floors({1: 4.0, 2: 1.2}, LEAST)}, "in degree 2 only subsamples"),
        ("circle", {"fibers": None}, "no angle could be recovered"),
        ("circle", {"fibers": Fibers(1.0, 0.32, 0.35)}, "a spread of 0.32"),
        ("circle", {"fibers": Fibers(1.0, 0.1, 0.62)}, "0.62 where it is thick"),
        ("circle", {"fibers": Fibers(1.0, 0.1, 0.15, math.radians(55), 1e-9)}, "a gap of 55 degrees"),
        ("torus", {"fibers": Fibers(0.3, 0.1, 0.15)}, "only 30% of their pairs"),
        ("torus", {"fibers": Fibers(1.0, 0.65, 0.8)}, "a spread of 0.65"),
        ("sphere", {"surface": 0.1}, "at only 10% of the points"),
        ("klein bottle", {"surface": 0.8}, "at only 80% of the points"),
        ("contractible", {"resolution": Resolution(1.0, 0.35, 1500, 1500)}, "a loop half as wide"),
        ("contractible", {"resolution": Resolution(None, None, None, 2000)}, "more than 2000"),
    ],
)
def test_each_doubt_says_what_speaks_against_the_name(name: Any, changes: dict[str, Any], words: str) -> None:
    assert words in doubt(name, CLASSES.get(name, {1: 2, 2: 1}), dataclasses.replace(GOOD, **changes))


def test_a_gap_that_is_narrow_or_probable_is_none() -> None:
    for gap in (Fibers(1.0, 0.1, 0.15, math.radians(15), 1e-9), Fibers(1.0, 0.1, 0.15, math.radians(30), 0.01)):
        assert doubt("circle", CLASSES["circle"], dataclasses.replace(GOOD, fibers=gap)) == ""


def short(mod_2: tuple[int, ...], mod_3: tuple[int, ...], p_values: dict[int, float]) -> Findings:
    betti = {prime: Betti(numbers, numbers, numbers) for prime, numbers in ((2, mod_2), (3, mod_3))}
    return Findings(1000, 8, betti, 1.0, p_values, (2.0, 2.1), 0.05, 0.0)


def lengths(loops: dict[int, list[float]], voids: dict[int, float], death: float = 0.5) -> Bars:
    """Bars of these ratios that die at a share of the enclosing radius."""
    diagrams = {
        prime: [np.empty((0, 2)), *(death * np.array([[1 / r, 1.0] for r in own]) for own in (ratios, [voids[prime]]))]
        for prime, ratios in loops.items()
    }
    return Bars(diagrams, REACH)


BOTH = {1: 0.02, 2: 0.02}


@pytest.mark.parametrize(
    ("loops", "voids", "p_values", "death", "name"),
    [
        ({2: [2.4, 2.2, 1.5], 3: [2.4, 2.2, 1.5]}, {2: 1.4, 3: 1.4}, BOTH, 0.5, "torus"),
        ({2: [2.4, 2.2, 1.5], 3: [2.4, 1.6, 1.5]}, {2: 1.4, 3: 1.0}, BOTH, 0.5, None),  # a Klein bottle
        ({2: [2.4, 2.2, 2.1], 3: [2.4, 2.2, 2.1]}, {2: 1.4, 3: 1.4}, BOTH, 0.5, None),  # a 3-torus
        ({2: [2.1, 1.5], 3: [2.1, 1.5]}, {2: 1.0, 3: 1.0}, {1: 0.02, 2: 0.9}, 0.5, "circle"),
        ({2: [2.1, 1.5], 3: [2.1, 1.5]}, {2: 1.0, 3: 1.0}, {1: 0.02, 2: 0.9}, 0.3, None),  # a hole in a sheet
        ({2: [2.1, 1.5], 3: [2.1, 1.5]}, {2: 1.0, 3: 1.0}, {1: 0.2, 2: 0.9}, 0.5, None),
    ],
)
def test_which_short_bars_angles_may_decide(
    loops: dict[int, list[float]], voids: dict[int, float], p_values: dict[int, float], death: float, name: str | None
) -> None:
    assert candidate(short((1, 0, 0), (1, 0, 0), p_values), lengths(loops, voids, death)) == name


@pytest.mark.parametrize(
    ("void", "agreement", "name"), [(1.45, 1.0, "klein bottle"), (1.79, 1.0, None), (1.45, 0.4, None)]
)
def test_a_klein_bottle_may_have_a_shorter_void_modulo_3(void: float, agreement: float, name: str | None) -> None:
    found = lengths({2: [5.0, 3.0], 3: [5.0, 1.2]}, {2: 1.8, 3: void})
    assert candidate(dataclasses.replace(short((1, 2, 1), (1, 1, 1), BOTH), agreement=agreement), found) == name
    assert shows("klein bottle", dataclasses.replace(GOOD, fibers=None))
    assert not shows("klein bottle", dataclasses.replace(GOOD, fibers=None, surface=0.5))


def test_two_pieces_have_no_candidate() -> None:
    found = lengths({2: [2.4], 3: [2.4]}, {2: 1.0, 3: 1.0})
    assert candidate(short((2, 0, 0), (2, 0, 0), {1: 0.02, 2: 0.9}), found) is None


@pytest.mark.parametrize(
    ("thickness", "thickest", "right"), [(0.15, 0.25, True), (0.22, 0.28, False), (0.1, 0.38, False)]
)
def test_a_circle_with_a_short_bar_needs_thin_fibers(thickness: float, thickest: float, right: bool) -> None:
    evidence = dataclasses.replace(GOOD, fibers=Fibers(1.0, thickness, thickest))
    assert shows("circle", evidence) is right
    assert shows("torus", evidence)
    assert not shows("circle", dataclasses.replace(GOOD, fibers=None))
