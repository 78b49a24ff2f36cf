"""Pictures of points on manifolds: each point where it belongs, in its color, and a clear error for no picture."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from riemod import plotting
from riemod.manifolds import Euclidean, KleinBottle, Manifold, PoincareBall, Product, Sphere, Torus
from riemod.plotting import has_picture, plot_ball_points, plot_klein_points, plot_points, plot_sphere_points
from tests.strategies import seeds

PICTURES = [Sphere(1), Sphere(2), Torus(2), KleinBottle(), PoincareBall(2), Euclidean(2)]
NO_PICTURES = [Sphere(3), Torus(1), Torus(3), PoincareBall(3), Euclidean(3), Product([Sphere(1), Sphere(1)])]


def sample(manifold: Manifold, count: int, seed: int = 0) -> torch.Tensor:
    return manifold.sample(count, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def drawn(ax: Axes) -> np.ndarray:
    return np.asarray(ax.collections[0].get_offsets())


@given(seed=seeds)
def test_the_sphere_s_discs_keep_areas_and_can_be_read_back(seed: int) -> None:
    points = sample(Sphere(2), 50, seed).numpy()
    x, y = drawn(plot_sphere_points(torch.from_numpy(points), Sphere(2, radius=3.0), ax=Figure().subplots())).T
    north = x <= 1
    x = np.where(north, x, 2 - x)
    # Lambert: a cap of height h has the area of the disc with the square of its radius in proportion to h.
    height = 1 - (x**2 + y**2)
    np.testing.assert_allclose(np.where(north, height, -height), points[:, 2], atol=1e-12)
    stretch = np.sqrt(1 + np.abs(points[:, 2]))
    np.testing.assert_allclose(np.stack((x * stretch, y * stretch), 1), points[:, :2], atol=1e-12)


def test_the_discs_touch_where_the_hemispheres_do() -> None:
    points = torch.tensor([[1.0, 0.0, 1e-9], [1.0, 0.0, -1e-9]], dtype=torch.float64)
    places = drawn(plot_sphere_points(points, Sphere(2), ax=Figure().subplots()))
    np.testing.assert_allclose(places, [[1, 0], [1, 0]], atol=1e-8)


def test_the_ball_has_its_rim_and_circles_of_known_radius() -> None:
    ball = PoincareBall(2, curvature=-4.0)
    points = sample(ball, 20)
    ax = plot_ball_points(points, ball, ax=Figure().subplots())
    np.testing.assert_allclose(drawn(ax), points)
    rim, *circles = (np.asarray(line.get_xydata()) for line in ax.lines)
    np.testing.assert_allclose(np.linalg.norm(rim, axis=1), 1)
    center = torch.zeros(1, 2, dtype=torch.float64)
    for circle, label in zip(circles, ax.texts, strict=True):
        distances = ball.distance(center, torch.from_numpy(circle))
        np.testing.assert_allclose(distances, float(label.get_text()), rtol=1e-6)


def test_arrows_say_how_the_klein_square_is_glued() -> None:
    bottle = KleinBottle(4.0)
    ax = plot_klein_points(sample(bottle, 5), bottle, ax=Figure().subplots())
    along, left, right = ax.lines
    assert along.get_marker() == ">"
    np.testing.assert_allclose(np.asarray(along.get_xydata()), [[2, 0], [2, 4]])
    assert (left.get_marker(), right.get_marker()) == ("^", "v")
    # The points under the arrows are one: (0, y) ~ (p, p - y).
    at_left, at_right = (torch.from_numpy(np.asarray(edge.get_xydata())) for edge in (left, right))
    np.testing.assert_allclose(bottle.distance(at_left, (at_right - 1e-9).flip(0)).diagonal(), 0, atol=1e-8)


@pytest.mark.parametrize("manifold", PICTURES)
def test_every_picture_shows_every_point_in_its_color(manifold: Manifold) -> None:
    points = sample(manifold, 7)
    angles = np.linspace(-7, 7, 7)
    figure = Figure()
    ax = figure.subplots()
    assert plot_points(points, manifold, angles, ax) is ax
    marks = ax.collections[0]
    np.testing.assert_allclose(np.asarray(marks.get_array()), np.mod(angles, 2 * math.pi))
    assert marks.get_clim() == (0, 2 * math.pi)
    np.testing.assert_allclose(marks.to_rgba([0.0]), marks.to_rgba([2 * math.pi]), atol=0.03)
    assert "cyclic" in figure.axes[1].get_ylabel()
    figure.canvas.draw()
    colors = np.random.default_rng(0).uniform(size=(7, 3))
    given = plot_points(points, manifold, colors, Figure().subplots()).collections[0]
    np.testing.assert_allclose(np.asarray(given.get_facecolor())[:, :3], colors)


@pytest.mark.parametrize("manifold", NO_PICTURES)
def test_other_manifolds_have_no_picture(manifold: Manifold) -> None:
    assert not has_picture(manifold)
    with pytest.raises(ValueError, match="manifold must have a picture in the plane"):
        plot_points(sample(manifold, 3), manifold, ax=Figure().subplots())


def test_spheres_and_balls_of_more_dimensions_are_refused() -> None:
    with pytest.raises(ValueError, match="sphere must be of dimension 1 or 2 to be drawn, got 3"):
        plot_sphere_points(sample(Sphere(3), 3), Sphere(3), ax=Figure().subplots())
    with pytest.raises(ValueError, match="ball must be of dimension 2 to be drawn, got 3"):
        plot_ball_points(sample(PoincareBall(3), 3), PoincareBall(3), ax=Figure().subplots())


def test_torus_order_keeps_neighbors_together():
    torus = Torus(2)
    points = torus.sample(400, generator=torch.Generator().manual_seed(0))
    order = plotting.torus_order(points, torus)
    assert sorted(order) == list(range(400))

    def step(indices):
        return torus.distance(points[indices[:-1]], points[indices[1:]]).diagonal().mean().item()

    assert step(torch.from_numpy(order)) < 0.4 * step(torch.arange(400))


def test_position_colors_are_gray_where_unknown():
    colors = plotting.position_colors(torch.tensor([[0.5, 0.0], [float("nan"), float("nan")]]), 2.2)
    assert np.ptp(colors[1]) == 0
    assert np.ptp(colors[0]) > 0.3


def test_the_key_of_positions_shows_each_position_in_its_color() -> None:
    ax = plotting.plot_position_key(2.0, Figure().subplots())
    (image,) = ax.images
    assert tuple(image.get_extent()) == (-1, 1, -1, 1)
    corner, middle = plotting.position_colors(torch.tensor([[-1.0, -1.0], [0.5, -0.5]], dtype=torch.float64), 2.0)
    pixels = np.asarray(image.get_array())
    np.testing.assert_allclose(pixels[0, 0], corner)
    np.testing.assert_allclose(pixels[25, 75], middle)
