"""Figures of a page: large nets, space, bars, and colors that everyone can tell apart and read."""

import itertools
import json
import re
from importlib.resources import files

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from riemod.alignment import distance_matrix
from riemod.inspection.stored import Arrays, Stored
from riemod.manifolds import Euclidean, KleinBottle, PoincareBall, Product, Sphere, Torus
from riemod.report.charts import bars_of, matrix_of
from riemod.report.net import Net, strongest
from riemod.report.space import in_space
from riemod.report.style import RUNS, THEMES, RunStyle
from riemod.report.units import unit_view

MANIFOLDS = [Torus(1), Torus(2), Torus(6), Sphere(1), Sphere(2), Sphere(3), KleinBottle(), PoincareBall(2)]
MANIFOLDS += [
    PoincareBall(3),
    PoincareBall(5),
    Euclidean(1),
    Euclidean(3),
    Euclidean(9),
    Product([Sphere(1), Sphere(2)]),
]


def net_of_size(size: int, sparsity: float = 0.0) -> Net:
    generator = torch.Generator().manual_seed(0)
    weight = torch.randn(size, size, generator=generator, dtype=torch.float64)
    weight[torch.rand(size, size, generator=generator) < sparsity] = 0
    points = Torus(2).sample(size, generator=generator)
    return Net(weight.numpy(), 1, np.arange(size)[::-1].copy(), "by number", Torus(2), points, True, 1, 1)


def test_a_small_matrix_is_drawn_whole_in_order_and_blank_where_it_is_zero() -> None:
    net = net_of_size(7, 0.4)
    matrix = matrix_of(net)
    drawn = np.array(matrix.figure.data[0].z)
    expected = net.weight[::-1, ::-1]
    np.testing.assert_allclose(np.nan_to_num(drawn), expected, rtol=1e-6)
    assert np.isnan(drawn[expected == 0]).all()
    assert list(matrix.figure.data[0].x) == [str(unit) for unit in range(6, -1, -1)]
    assert "Each cell" not in matrix.caption


def test_a_large_matrix_is_drawn_by_means_of_blocks_and_says_so() -> None:
    net = net_of_size(1001)
    matrix = matrix_of(net)
    drawn = np.array(matrix.figure.data[0].z)
    assert drawn.shape == (251, 251)
    ordered = net.weight[::-1, ::-1]
    assert drawn[3, 5] == pytest.approx(ordered[12:16, 20:24].mean(), rel=1e-5)
    assert drawn[-1, -1] == pytest.approx(ordered[1000, 1000], rel=1e-5)
    assert "Each cell is the mean of 4 x 4 weights: 1,001 units are too many" in matrix.caption


@pytest.mark.slow
def test_a_net_of_the_paper_s_size_makes_a_page_of_sane_size() -> None:
    net = net_of_size(4096, 0.9)
    matrix, view = matrix_of(net), unit_view(net, None, None)
    sizes = [len(matrix.figure.to_json()), len(view.figure.to_json()), len(json.dumps(view.data))]
    assert sum(sizes) < 3_000_000


@given(seed=st.integers(0, 1000), size=st.integers(2, 9), count=st.integers(1, 12))
def test_the_strongest_weights_are_the_largest_of_each_row(seed: int, size: int, count: int) -> None:
    matrix = np.random.default_rng(seed).standard_normal((size, size))
    found = strongest(matrix, count)
    for row in range(size):
        others = [unit for unit in range(size) if unit != row]
        expected = sorted(others, key=lambda unit: -abs(matrix[row, unit]))[:count]
        assert found.units[row].tolist() == expected
        np.testing.assert_array_equal(found.weights[row], matrix[row, expected])


@pytest.mark.parametrize("manifold", MANIFOLDS, ids=str)
@pytest.mark.parametrize("count", [1, 2, 5, 60])
def test_points_of_every_manifold_have_a_place_in_space(manifold: object, count: int) -> None:
    assert hasattr(manifold, "sample")
    points = manifold.sample(count, generator=torch.Generator().manual_seed(0))
    space = in_space(points, manifold)
    assert space.points.shape == (count, 3)
    assert np.isfinite(space.points).all()
    assert space.lines.shape[1] == 3
    assert space.caption.endswith(".")


@pytest.mark.parametrize("manifold", [Euclidean(2), Euclidean(3), Euclidean(5)], ids=str)
def test_distances_of_flat_space_are_kept_as_far_as_three_directions_go(manifold: Euclidean) -> None:
    points = manifold.sample(40, generator=torch.Generator().manual_seed(0)).double()
    points[:, 3:] = 0
    drawn = torch.from_numpy(in_space(points, manifold).points)
    np.testing.assert_allclose(torch.cdist(drawn, drawn), distance_matrix(points, manifold), atol=1e-6)


@pytest.mark.parametrize("manifold", [Torus(2), KleinBottle(), Sphere(2)], ids=str)
def test_near_points_are_near_in_space_across_every_seam(manifold: Torus | KleinBottle | Sphere) -> None:
    points = manifold.sample(400, generator=torch.Generator().manual_seed(0))
    drawn, apart = in_space(points, manifold).points, distance_matrix(points, manifold)
    rows, columns = np.nonzero((apart > 0) & (apart < 0.05 * manifold.diameter))
    assert len(rows) > 100
    assert np.linalg.norm(drawn[rows] - drawn[columns], axis=1).max() < 0.5


def test_bars_that_count_stand_out_of_the_band() -> None:
    bars = {1: np.array([[1.0, 4.0], [1.0, 1.5]]), 2: np.array([[2.0, 3.0]])}
    arrays = Arrays(bars, {1: np.array([1.4, 2.2]), 2: np.array([1.1])}, np.zeros((1, 3)), np.ones(3), *[None] * 5)
    verdict = {"p_values": {"1": 0.02, "2": 0.4}, "longest": {"1": 4.0, "2": 1.5}, "floors": {"1": 2.5, "2": 1.6}}
    figure = bars_of(Stored({"verdict": verdict}, arrays, None))
    lines = [trace for trace in figure.data if trace.mode == "lines" and trace.line.width == 7]
    assert [tuple(trace.x) for trace in lines] == [(1, 4.0), (1, 1.5), (1, 1.5)]
    assert [trace.line.color == RUNS[0].color for trace in lines] == [True, False, False]
    bands = [trace for trace in figure.data if trace.fill == "toself"]
    assert [max(trace.x) for trace in bands] == [2.5, 1.6]
    assert [list(trace.x) for trace in figure.data if trace.mode == "markers"] == [[1.4, 2.2], [1.1]]
    assert "p = 0.02" in figure.layout.annotations[0].text
    earlier = bars_of(Stored({"verdict": verdict}, None, "of an earlier version"))
    assert len([trace for trace in earlier.data if trace.mode == "lines" and trace.line.width == 7]) == 2


def linear(color: str) -> np.ndarray:
    """The linear red, green and blue of an sRGB color."""
    channels = np.array([int(color[place : place + 2], 16) for place in (1, 3, 5)]) / 255
    return np.where(channels <= 0.04045, channels / 12.92, ((channels + 0.055) / 1.055) ** 2.4)


def luminance(color: str) -> float:
    """The relative luminance of a color, as WCAG 2.2 defines it."""
    return float(linear(color) @ [0.2126, 0.7152, 0.0722])


def contrast(first: str, second: str) -> float:
    low, high = sorted((luminance(first), luminance(second)))
    return (high + 0.05) / (low + 0.05)


def variables_of(style: str) -> dict[str, str]:
    return dict(re.findall(r"--([\w-]+): (#[0-9a-f]{6});", style))


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_text_is_readable_on_its_ground(theme: str) -> None:
    style = files("riemod.report").joinpath("template", "style.css").read_text()
    light, dark = style.split("@media (prefers-color-scheme: dark)")[:2]
    colors = variables_of(light if theme == "light" else dark.split("@media print")[0])
    for ink, ground in itertools.product(("ink", "soft", "link"), ("ground", "card")):
        assert contrast(colors[ink], colors[ground]) >= 4.5, (ink, ground)
    for kind in ("warn", "hint"):
        assert contrast(colors[f"{kind}-ink"], colors[f"{kind}-ground"]) >= 4.5
    assert contrast(colors["mark"], colors["card"]) >= 3
    assert contrast(THEMES[theme]["layout"]["font"]["color"], colors["card"]) >= 7


# What eyes without one kind of cone see of linear red, green and blue: Machado et al. 2009, severity 1.
EYES = {
    "all cones": [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]],
    "protanopia": [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]],
    "deuteranopia": [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]],
    "tritanopia": [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602], [0.004733, 0.691367, 0.303900]],
}
XYZ = np.array([[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]])


def seen(color: str, eyes: str) -> np.ndarray:
    """The CIELAB coordinates of what eyes see of a color."""
    relative = XYZ @ np.clip(np.array(EYES[eyes]) @ linear(color), 0, 1) / XYZ.sum(axis=1)
    x, y, z = np.where(relative > 0.008856, np.cbrt(relative), 7.787 * relative + 16 / 116)
    return np.array([116 * y - 16, 500 * (x - y), 200 * (y - z)])


@pytest.mark.parametrize("eyes", EYES)
def test_runs_are_told_apart_by_every_kind_of_eyes(eyes: str) -> None:
    def least(styles: tuple[RunStyle, ...]) -> float:
        pairs = itertools.combinations(styles, 2)
        return min(float(np.linalg.norm(seen(one.color, eyes) - seen(other.color, eyes))) for one, other in pairs)

    assert least(RUNS[:4]) > 20
    assert least(RUNS) > 16
    assert len({style.symbol for style in RUNS}) == len({style.sign for style in RUNS}) == len(RUNS)
