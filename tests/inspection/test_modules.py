"""Populations of several kinds: which parts of one are judged, and what is said of them."""

import numpy as np
import pytest
import torch

from riemod.inspection.modules import Part, held_back, parts_of
from riemod.inspection.recording_maps import maps_of
from riemod.recordings import Prepared, Recording, from_spikes, prepare, simulate
from riemod.topology import ModuliRecovery
from tests.recordings.populations import generator, trains_of

MINUTES = 6.0
GRIDS = simulate.grid_module(31, MINUTES, generator=generator(0))
# The same seed, and so the same walk.
FAR = simulate.grid_module(30, MINUTES, spacing=0.8, orientation=0.4, generator=generator(0))
HEADS = simulate.head_direction_cells(20, MINUTES, generator=generator(0))


def together(*recordings: Recording) -> Recording:
    first = recordings[0]
    assert first.position is not None
    trains = [train for recording in recordings for train in trains_of(recording)]
    where = {"position": first.position.values, "position_times": first.position.times}
    return from_spikes(trains, spans=first.spans, **where)


def prepared(recording: Recording) -> Prepared:
    return prepare(recording, generator=torch.Generator().manual_seed(0), most_points=600)


def coarse(found: Prepared) -> ModuliRecovery:
    return ModuliRecovery(n_nulls=1, n_subsamples=1).fit(found.cloud)


def judged(recording: Recording) -> list[Part]:
    points = prepared(recording)
    return parts_of(recording, points, maps_of(points, recording, None).places, prepared, coarse)


def test_two_modules_and_head_direction_cells_are_three_parts() -> None:
    parts = judged(together(GRIDS, FAR, HEADS))
    names = [list(part.units) for part in parts]
    assert names == [[str(unit) for unit in range(*ends)] for ends in ((0, 31), (31, 61), (61, 81))]
    assert [part.spacing for part in parts[:2]] == [pytest.approx(0.6, rel=0.05), pytest.approx(0.8, rel=0.05)]
    assert parts[2].spacing is None
    starts = ("31 grid cells with", "30 grid cells with", "20 units that share coordinates")
    for part, start in zip(parts, starts, strict=True):
        assert part.recovery is not None
        assert part.line().startswith(start)
        assert part.recovery.manifold_ in part.line()
        assert part.to_dict()["verdict"]["manifold"] == part.recovery.manifold_


def test_one_module_alone_is_not_judged_again() -> None:
    assert judged(GRIDS) == []


def test_units_of_one_kind_have_no_parts_without_a_lattice_or_a_place() -> None:
    assert judged(HEADS) == []
    points = prepared(GRIDS)
    assert parts_of(GRIDS, points, None, prepared, coarse) == []


def test_without_a_place_modules_are_told_by_the_coordinates_that_units_share() -> None:
    recording = from_spikes(trains_of(together(GRIDS, HEADS)), spans=GRIDS.spans)
    parts = parts_of(recording, prepared(recording), None, prepared, coarse)
    assert [list(part.units) for part in parts] == [
        [str(unit) for unit in range(*ends)] for ends in ((0, 31), (31, 51))
    ]
    assert [part.title for part in parts] == ["31 units that share coordinates", "20 units that share coordinates"]
    assert all(part.to_dict()["module"] and part.spacing is None for part in parts)


@pytest.mark.slow
def test_a_part_of_unrelated_units_is_of_no_module() -> None:
    noise = simulate.poisson_spikes(np.full((360, 12), 3.0), seconds=1.0, generator=generator(1))
    recording = from_spikes([*trains_of(GRIDS), *noise], spans=GRIDS.spans)
    points = prepared(recording)
    parts = parts_of(recording, points, None, prepared, coarse)
    assert [(part.module, len(part.units)) for part in parts] == [(True, 31), (False, 12)]
    assert parts[1].title == "12 units of no module"


def test_a_part_that_cannot_be_judged_says_why() -> None:
    recording = together(GRIDS, HEADS)
    points = prepared(recording)

    def refuse(_: Recording) -> Prepared:
        raise ValueError("too little")

    parts = parts_of(recording, points, maps_of(points, recording, None).places, refuse, coarse)
    assert [part.problem for part in parts] == ["too little"] * 2
    assert parts[0].line().endswith("no verdict: too little")
    assert parts[1].to_dict()["verdict"] is None
    assert np.isfinite(parts[0].to_dict()["spacing"])


def part(spacing: float | None, name: str, *, module: bool | None = None) -> Part:
    recovery = ModuliRecovery()
    recovery.manifold_, recovery.reason_ = name, "as given"
    return Part(("a", "b"), spacing is not None if module is None else module, spacing, recovery)


@pytest.mark.parametrize(
    ("name", "parts", "stands"),
    [
        ("circle", [], True),
        ("torus", [part(0.5, "torus"), part(None, "undecided")], True),
        ("torus", [part(0.5, "torus")], True),
        ("undecided", [part(0.5, "torus"), part(None, "circle")], True),
        ("torus", [part(0.5, "torus"), part(None, "circle")], False),
        ("circle", [part(0.5, "torus"), part(None, "circle")], False),
        ("circle", [part(0.5, "undecided"), part(None, "circle")], False),
        ("torus", [part(0.5, "torus"), part(0.7, "torus")], False),
        ("torus", [part(0.5, "undecided"), part(None, "torus")], False),
        ("torus", [part(0.5, "torus"), part(None, "undecided", module=True)], False),
    ],
)
def test_a_name_of_several_kinds_of_units_is_held_back(name: str, parts: list[Part], stands: bool) -> None:
    why = held_back(name, parts)
    assert (why == "") == stands
    if not stands:
        assert f"would be called {name}" in why
        assert "2 grid cells with a spacing of 0.50 m" in why
