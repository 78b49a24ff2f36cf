"""Appendix H done right: true places are isometric, read-outs follow and leave the net alone, rows and tables."""

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from analysis import appendix_h, recovered, small_nets
from analysis.points import Follower, ReadOut, agreement, units_of
from riemod.manifolds import Euclidean, Sphere, Torus
from riemod.regularization.inhibitors import DifferenceOfGaussians, Gaussian
from riemod.tasks.navigation import Navigation
from tests.analysis.test_small_nets import SMALL, small

TINY: dict[str, Any] = SMALL | {"hidden_size": 24, "batches_per_epoch": 5, "epochs": 2}


def quiet(monkeypatch: pytest.MonkeyPatch) -> None:
    """Less of everything that takes long."""
    for name, value in {"PERMUTATIONS": 9, "LOOP_NULLS": 9, "NULLS": 2, "SUBSAMPLES": 1}.items():
        monkeypatch.setattr(recovered, name, value)
    monkeypatch.setattr(appendix_h, "RESTARTS", 1)
    monkeypatch.setattr(appendix_h, "STEPS", 3)
    monkeypatch.setattr(appendix_h, "DIMS", (4,))
    monkeypatch.setattr(appendix_h, "NOISES", (0.0,))
    monkeypatch.setattr(appendix_h, "DRAWS", 1)


def test_true_places_are_isometric() -> None:
    draw = torch.Generator().manual_seed(0)
    step = 1e-3
    for arena, manifold, dims in (("circle", Sphere(1, 1.0), (3, 4)), ("torus", Torus(2, 2.2), (4,))):
        places = manifold.sample(40, generator=draw, dtype=torch.float64)
        near = places.clone()
        if arena == "torus":
            near += step / math.sqrt(2)
            scale = 2 * math.pi / 2.2
        else:
            near = near + step * torch.stack((-near[:, 1], near[:, 0]), 1)
            scale = 1.0
        for dim in dims:
            ends = [recovered.true_points(arena, each, dim, 0.0, draw, 2.2) for each in (places, near)]
            lengths = (ends[0] - ends[1]).norm(dim=1)
            torch.testing.assert_close(lengths, torch.full_like(lengths, scale * step), rtol=1e-4, atol=0)
    box = 2.2 * torch.rand(40, 2, generator=draw, dtype=torch.float64)
    found = recovered.true_points("box", box, 4, 0.0, draw, 2.2)
    torch.testing.assert_close(torch.cdist(found, found), torch.cdist(box, box) / 1.1)


def test_a_ring_has_a_long_loop_and_noise_has_none() -> None:
    angle = np.linspace(0, 2 * np.pi, 60, endpoint=False)
    ring = np.stack([np.cos(angle), np.sin(angle)], 1)
    assert recovered.longest_loop(ring) == pytest.approx(math.sqrt(3) / (2 * math.sin(math.pi / 60)), rel=0.02)
    assert recovered.longest_loop(np.random.default_rng(0).normal(size=(60, 2))) < 3
    assert recovered.longest_loop(np.array([[0.0], [1.0], [3.0]])) == 1.0


def test_read_outs_move_and_the_net_does_not_notice() -> None:
    task = Navigation(small())
    alone, watched = small_nets.fresh(task), small_nets.fresh(task)
    draw = torch.Generator().manual_seed(0)
    outs = [
        ReadOut(Euclidean(3), "weights", DifferenceOfGaussians(), 12, draw),
        ReadOut(Euclidean(3), "coactivity", Gaussian(), 12, draw),
    ]
    starts = [out.embedding.points.detach().clone() for out in outs]
    follower = Follower(watched, outs)
    small_nets.train(task, alone)
    small_nets.train(task, watched, watch=follower)
    assert torch.equal(alone.rnn.get_parameter("weight_hh_l0"), watched.rnn.get_parameter("weight_hh_l0"))
    assert len(follower.factors) == 1
    assert all(not torch.equal(start, out.embedding.points) for start, out in zip(starts, outs, strict=True))


def test_followed_weights_are_near_where_they_are_large() -> None:
    """A ring of strong weights: points that follow it get strong pairs at the law's cheapest distance."""
    weight = torch.roll(torch.eye(30), 1, 0) + torch.roll(torch.eye(30), -1, 0)
    read_out = ReadOut(Euclidean(3), "weights", DifferenceOfGaussians(), 30, torch.Generator().manual_seed(0))
    for step in range(300):
        read_out.follow(weight, 1 - step / 300)
    distances = read_out.embedding.distances().detach()
    assert agreement(distances, weight) < -0.2
    assert distances[weight > 0].median().item() == pytest.approx(DifferenceOfGaussians().cheapest_distance, abs=0.3)


@pytest.mark.parametrize("arena", ["circle", "box"])
def test_units_have_places_in_the_arena(arena: str) -> None:
    task = Navigation(small(arena))
    units = units_of(task, small_nets.fresh(task), walks=60)
    count = int(units.awake.sum())
    assert units.places.shape == (count, 2)
    assert units.weights.shape == units.truths["tuning"].shape == units.truths["places"].shape == (count, count)
    if arena == "box":
        assert 0 <= units.places.min() <= units.places.max() <= 2.2


def test_rows_of_read_outs_and_of_penalized_nets_make_tables(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    quiet(monkeypatch)
    monkeypatch.setattr(appendix_h, "RULES", ("weights dog", "fitted dog"))
    file, net = tmp_path / "records.jsonl", "coactivity gaussian, strength 0.1, R^3"
    cases: list[small_nets.Case] = [("circle", "read-outs", 0), ("circle", net, 0)]
    small_nets.run_missing(file, appendix_h.NAMES, cases, lambda *case: appendix_h.rows(*case, **TINY))
    found = small_nets.read(file)
    assert [row["source"] for row in found].count("trained") == 2 + 1
    assert [row["source"] for row in found].count("true places") == 1
    assert {row["net"] for row in found} == {"read-outs", net}
    assert all(0 < row[name] <= 1 for row in found for name in ("places p", "tuning p", "loop p", "degree 1 p"))
    true = next(row for row in found if row["source"] == "true places")
    assert true["places"] > 0.99
    text = appendix_h.tables(found)
    assert "| trained | coactivity gaussian | 0.1 | 3 | 0.0 |" in text
    assert "| untrained | fitted dog | 0.0 | 4 | 0.0 |" in text
    assert appendix_h.tables([]) == "no records of appendix_h"
    appendix_h.figure(found, tmp_path / "figure.png")
    assert (tmp_path / "figure.png").stat().st_size > 0
