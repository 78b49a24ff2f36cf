"""Learned points stay on their manifold, in float32 at least, and someone moves them: or the regularizer says so."""

import copy

import pytest
import torch
from torch import nn

from riemod import ModuliRegularizer
from riemod.manifolds import Euclidean, KleinBottle, Manifold, PoincareBall, Product, Sphere, Torus
from riemod.optim import riemannian_adam
from riemod.regularization._point_watch import PATIENCE
from tests.strategies import generator

SPACES = [
    Sphere(1),
    Sphere(2),
    Torus(2),
    KleinBottle(),
    PoincareBall(2),
    PoincareBall(2, learn_curvature=True),
    Euclidean(3),
    Product([Sphere(1), Torus(1)]),
]


def steps(moduli: ModuliRegularizer, optimizer: torch.optim.Optimizer, count: int) -> None:
    for _ in range(count):
        optimizer.zero_grad()
        moduli().backward()
        optimizer.step()


LEFT = r"points must lie on .* Optimizers that do not know manifolds .*riemannian_adam\(model, moduli\)"


@pytest.mark.parametrize("space", [Sphere(2), Product([Sphere(1), Torus(1)])], ids=str)
def test_points_under_an_optimizer_that_knows_no_manifold(space: Manifold) -> None:
    layer = nn.RNN(2, 8)
    moduli = ModuliRegularizer(layer, space, strength=1.0, learn=True, generator=generator(0))
    optimizer = torch.optim.AdamW([*layer.parameters(), *moduli.parameters()], lr=0.1)
    steps(moduli, optimizer, 1)
    with pytest.raises(ValueError, match=LEFT):
        moduli()


@pytest.mark.parametrize("space", [Torus(2), KleinBottle()], ids=str)
def test_points_that_leave_the_square_are_noticed_when_they_do(space: Manifold) -> None:
    moduli = ModuliRegularizer(nn.RNN(2, 8), space, learn=True, generator=generator(0))
    moduli()
    with torch.no_grad():
        moduli.points[3, 0] = 10.5
    with pytest.raises(ValueError, match=f"{LEFT}".replace("must lie on .*", "must lie on .*row 3.*")):
        moduli()


def test_points_that_no_optimizer_holds() -> None:
    layer = nn.RNN(2, 8)
    moduli = ModuliRegularizer(layer, Torus(2), learn=True, generator=generator(0))
    optimizer = riemannian_adam(layer)
    steps(moduli, optimizer, PATIENCE)
    with pytest.warns(
        UserWarning, match=r"points of 8 neurons are to be learned, but stayed .*riemannian_adam\(model, mod"
    ):
        moduli()
    # Said once; any other warning would be an error.
    steps(moduli, optimizer, 3 * PATIENCE)


@pytest.mark.parametrize("options", [{"learn": True}, {"learn": False}, {"learn": True, "refresh_every": 7}])
def test_points_that_move_or_are_fixed_raise_no_warning(options: dict[str, object]) -> None:
    layer = nn.RNN(2, 8)
    moduli = ModuliRegularizer(layer, Torus(2), generator=generator(0), **options)
    optimizer = riemannian_adam(layer, moduli)
    steps(moduli, optimizer, 3 * PATIENCE)
    # An evaluation, however long, is no step.
    with torch.no_grad():
        for _ in range(3 * PATIENCE):
            copy.deepcopy(moduli)()


# At this rate the curvature runs away, which is said; here it is the numbers that must stay finite.
@pytest.mark.filterwarnings("ignore:learned points on PoincareBall")
@pytest.mark.parametrize("count", [40, pytest.param(1000, marks=pytest.mark.slow)])
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize("space", SPACES, ids=lambda space: f"{space}")
def test_narrow_models_keep_points_in_float32(space: Manifold, dtype: torch.dtype, count: int) -> None:
    layer = nn.RNN(2, 6).to(dtype)
    moduli = ModuliRegularizer(layer, space, strength=1.0, learn=True, generator=generator(0))
    moduli.to(dtype)
    assert all(parameter.dtype == torch.float32 for parameter in moduli.parameters())
    optimizer = riemannian_adam(layer, moduli, lr=1e-4, embedding_lr=0.1, eps=1e-4)
    start = moduli.points.detach().clone()
    for _ in range(count):
        optimizer.zero_grad()
        value = moduli()
        assert value.dtype == dtype
        assert value.isfinite()
        value.backward()
        optimizer.step()
    moduli.embeddings[0].manifold.check_points(moduli.points)
    assert (moduli.points - start).abs().max() > 0.05


def test_a_curvature_that_runs_away_is_noticed() -> None:
    layer = nn.RNN(2, 8)
    moduli = ModuliRegularizer(layer, PoincareBall(2, learn_curvature=True), learn=True, generator=generator(0))
    moduli()
    with torch.no_grad():
        moduli.embeddings[0].manifold.geometry.log_curvature.fill_(3.5)
        moduli.points.mul_(0.999)
    with pytest.warns(
        UserWarning, match=r"the learned curvature, -33.1, is more than 16 times as far from -1 as learning"
    ):
        moduli()
    # Said once.
    with torch.no_grad():
        moduli.points.mul_(0.999)
    moduli()


def test_points_at_the_edge_of_the_ball_are_noticed() -> None:
    moduli = ModuliRegularizer(nn.RNN(2, 8), PoincareBall(2), learn=True, generator=generator(0))
    moduli()
    with torch.no_grad():
        moduli.points[0] = torch.tensor([0.996, 0.0])
    with pytest.warns(UserWarning, match=r"12% of the points are at norm 0.996, the largest that their dtype takes"):
        moduli()


def test_a_curvature_learned_by_the_optimizer_stays_in_its_range() -> None:
    layer = nn.RNN(2, 30)
    moduli = ModuliRegularizer(
        layer, PoincareBall(2, learn_curvature=True), strength=1.0, learn=True, generator=generator(0)
    )
    # Any warning would be an error.
    steps(moduli, riemannian_adam(layer, moduli, embedding_lr=1e-2), 60)
    assert moduli.embeddings[0].manifold.curvature != -1.0


def test_points_that_are_nan_show_in_the_penalty() -> None:
    moduli = ModuliRegularizer(nn.RNN(2, 8), Sphere(2), learn=True, generator=generator(0))
    moduli()
    with torch.no_grad():
        moduli.points[2] = torch.nan
    assert moduli().isnan()
