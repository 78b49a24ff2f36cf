"""The study's clouds are what they say, and the study goes on where it stopped."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from analysis import known_manifolds
from analysis.clouds import KNOWN, NOISES, klein_surface, torus_surface


@pytest.mark.parametrize("surface", [torus_surface, klein_surface])
def test_reach_is_1(surface: Callable[[np.ndarray, np.ndarray], np.ndarray]) -> None:
    """Federer: the reach is the infimum over pairs of |p - q|^2 / (2 distance of p from the plane tangent at q)."""
    step = 2 * np.pi / 80
    u, v = (grid.ravel() for grid in np.meshgrid(np.arange(80) * step, np.arange(80) * step))
    points, h = surface(u, v), 1e-5
    along = np.stack([surface(u + h, v) - surface(u - h, v), surface(u, v + h) - surface(u, v - h)], axis=2)
    smallest = np.inf
    for index in range(0, len(points), 23):
        plane, _ = np.linalg.qr(along[index])
        apart = points - points[index]
        off = np.linalg.norm(apart - apart @ plane @ plane.T, axis=1)
        squared = (apart**2).sum(axis=1)
        far = squared > 1e-3
        smallest = min(smallest, (squared[far] / (2 * np.maximum(off[far], 1e-12))).min())
    assert smallest == pytest.approx(1, abs=0.01)


@pytest.mark.parametrize("name", ["torus", "klein-bottle"])
def test_points_are_uniform_in_area(name: str) -> None:
    points = KNOWN[name][1](200_000, np.random.default_rng(0))
    ring = np.hypot(points[:, 0], points[:, 1])
    # The share of a torus outside the middle circle; the Klein bottle's is its own numerical integral.
    v = np.linspace(0, 2 * np.pi, 20_001)
    area = 2 + np.cos(v) if name == "torus" else np.sqrt((2 + np.cos(v)) ** 2 + np.sin(v) ** 2 / 4)
    assert (ring > 2).mean() == pytest.approx(area[np.cos(v) > 0].sum() / area.sum(), abs=0.006)


@pytest.mark.parametrize("name", [*KNOWN, *NOISES])
def test_clouds_have_the_size_asked_for(name: str) -> None:
    draw = KNOWN[name][1] if name in KNOWN else NOISES[name]
    assert len(draw(50, np.random.default_rng(0))) == 50
    np.testing.assert_array_equal(draw(5, np.random.default_rng(1)), draw(5, np.random.default_rng(1)))


def test_study_resumes_and_tabulates(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(known_manifolds, "POINTS", 40)
    known_manifolds.study("disc", 0, tmp_path)
    first = (tmp_path / "disc.json").read_text()
    known_manifolds.study("disc", 0, tmp_path)
    assert (tmp_path / "disc.json").read_text() == first
    known_manifolds.study("disc", 1, tmp_path)
    record = json.loads((tmp_path / "disc.json").read_text())
    assert list(record["fits"]) == ["0", "1"]
    assert record["fits"]["0"] == json.loads(first)["fits"]["0"]
    assert "| disc | 0 of 2 | undecided 2 |" in known_manifolds.table(tmp_path)
