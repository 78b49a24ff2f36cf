"""What figures refuse: every error names the argument, and no figure is left behind."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from matplotlib import pyplot as plt

from riemod import plotting
from riemod.manifolds import Sphere, Torus

SQUARE, TORUS = np.zeros((3, 3)), Torus(2)
POINTS = TORUS.sample(3, generator=torch.Generator().manual_seed(0))
PATH = torch.zeros(4, 2)
PANELS = {"a": lambda ax: None}
FILE = Path("figure.png")

BAD: dict[str, tuple[Callable[[], Any], type[Exception], str]] = {
    "geodesics of no manifold": (
        lambda: plotting.plot_geodesics(POINTS, POINTS, "torus"),
        TypeError,
        "manifold must be a Manifold, got str",
    ),
    "geodesics without a picture": (
        lambda: plotting.plot_geodesics(torch.zeros(2, 3), torch.zeros(2, 3), Torus(3)),
        ValueError,
        "manifold must have a picture in the plane",
    ),
    "agreement of text": (lambda: plotting.plot_agreement("x", SQUARE), TypeError, "first must be an array of numbers"),
    "agreement of NaN": (
        lambda: plotting.plot_agreement(SQUARE, SQUARE / 0),
        ValueError,
        "second must be a finite square matrix, got NaN or infinity",
    ),
    "agreement of one unit": (
        lambda: plotting.plot_agreement(SQUARE[:1, :1], SQUARE),
        ValueError,
        r"first must be a finite square matrix of 2 rows or more, got the shape \(1, 1\)",
    ),
    "agreement of sizes": (
        lambda: plotting.plot_agreement(SQUARE, SQUARE[:2, :2]),
        ValueError,
        r"second must have the shape of first, \(3, 3\), got \(2, 2\)",
    ),
    "colors of the center": (
        lambda: plotting.sphere_colors(torch.zeros(2, 3)),
        ValueError,
        "places must be finite vectors that are not zero",
    ),
    "colors of a plane": (
        lambda: plotting.sphere_colors(torch.ones(2, 2)),
        ValueError,
        r"places must have the shape \(n, 3\), got \(2, 2\)",
    ),
    "key of no side": (lambda: plotting.plot_torus_key(0.0), ValueError, "side must be positive and finite, got 0.0"),
    "displacements on a sphere": (
        lambda: plotting.plot_weights_by_displacement(torch.ones(3, 3), POINTS, Sphere(2)),
        TypeError,
        "torus must be a Torus, got Sphere",
    ),
    "displacements of more weights": (
        lambda: plotting.plot_weights_by_displacement(torch.ones(4, 4), POINTS, TORUS),
        ValueError,
        "weight must have a row for each of the 3 points, got 4",
    ),
    "displacements of many bins": (
        lambda: plotting.plot_weights_by_displacement(torch.ones(3, 3), POINTS, TORUS, bins=10**12),
        ValueError,
        "bins must fit the .* of memory here, got 1000000000000",
    ),
    "distances of text": (
        lambda: plotting.plot_weights_by_distance(torch.ones(3, 3), "x"),
        TypeError,
        "distances must be an array of numbers, got 'x'",
    ),
    "distances of a number as label": (
        lambda: plotting.plot_weights_by_distance(torch.ones(3, 3), torch.ones(3, 3), 2, label=3),
        TypeError,
        "label must be a string, got int",
    ),
    "an empty path": (
        lambda: plotting.plot_closed_paths(PATH[:0], {}, 1.0),
        ValueError,
        r"true must hold positions of shape \(T, 2\) or \(T, p, 2\)",
    ),
    "a path of NaN": (
        lambda: plotting.plot_closed_paths(PATH, {"a": PATH / 0}, 1.0),
        ValueError,
        "decoded must hold positions",
    ),
    "paths without names": (
        lambda: plotting.plot_closed_paths(PATH, [PATH], 1.0),
        TypeError,
        "decoded must be a mapping from name to path, got list",
    ),
    "negative times": (
        lambda: plotting.plot_paired_times({"a": [-1.0]}),
        ValueError,
        "seconds must be finite and >= 0",
    ),
    "times without names": (
        lambda: plotting.plot_paired_times([1.0]),
        TypeError,
        "seconds must be a mapping from name",
    ),
    "a panel that does not draw": (
        lambda: plotting.save_composite({"a": 3}, [{"a": 1}], FILE, (3, 2)),
        TypeError,
        r"panels\['a'\] must be a function of Axes, got int",
    ),
    "more panels than letters": (
        lambda: plotting.save_composite(dict.fromkeys(map(str, range(27)), PANELS["a"]), [], FILE, (3, 2)),
        ValueError,
        "panels must be at most 26, one a letter, got 27",
    ),
    "rows without widths": (
        lambda: plotting.save_composite(PANELS, [["a"]], FILE, (3, 2)),
        TypeError,
        "rows must be a list of mappings from name to width, got list",
    ),
    "a width of zero": (
        lambda: plotting.save_composite(PANELS, [{"a": 0}], FILE, (3, 2)),
        ValueError,
        "a width in rows must be positive and finite, got 0",
    ),
    "a negative height": (
        lambda: plotting.save_composite(PANELS, [{"a": 1}], FILE, (3, 2), [-1]),
        ValueError,
        "heights must be positive and finite, got -1",
    ),
    "a figure of kilometers": (
        lambda: plotting.save_composite(PANELS, [{"a": 1}], FILE, (1e5, 2)),
        ValueError,
        r"size must be two lengths from 0.5 to 200 inches, got \(100000.0, 2\)",
    ),
    "another file": (
        lambda: plotting.save_composite(PANELS, [{"a": 1}], Path("figure.txt"), (3, 2)),
        ValueError,
        "file must end with .png, .pdf, .svg, got 'figure.txt'",
    ),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_arguments_are_named_and_leave_no_figure(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    call, error, message = BAD[name]
    before = plt.get_fignums()
    with np.errstate(invalid="ignore"), pytest.raises(error, match=message):
        call()
    assert plt.get_fignums() == before
    assert not list(tmp_path.iterdir())
