"""Gradients: right where they exist, finite where they do not, and no intermediate larger than the tile."""

import subprocess
import sys

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from riemod.manifolds import Sphere, Torus
from riemod.manifolds.base import safe_sqrt
from tests.strategies import DTYPES, MANIFOLDS, far_points, generator, scattered_points


def squared(manifold, x, y):
    return manifold.squared_distance(manifold.coordinates(x), manifold.coordinates(y))


def two_sets(manifold, rows=4, columns=3):
    points = manifold.sample(rows + columns, generator=generator(11), dtype=torch.float64)
    return points[:rows].requires_grad_(), points[rows:].requires_grad_()


@pytest.mark.parametrize("name", MANIFOLDS)
def test_gradients_are_those_of_finite_differences(name):
    manifold = MANIFOLDS[name]
    x, y = two_sets(manifold)
    assert torch.autograd.gradcheck(lambda a, b: squared(manifold, a, b), (x, y))
    assert torch.autograd.gradcheck(lambda a, b: safe_sqrt(squared(manifold, a, b)), (x, y))


@pytest.mark.parametrize("name", MANIFOLDS)
def test_second_derivatives_are_those_of_finite_differences(name):
    manifold = MANIFOLDS[name]
    assert torch.autograd.gradgradcheck(lambda a, b: squared(manifold, a, b), two_sets(manifold, 2, 2))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", MANIFOLDS)
def test_gradients_are_finite_everywhere(name, dtype):
    manifold = MANIFOLDS[name]
    points = scattered_points(manifold, 3, dtype).requires_grad_()
    for function in (lambda p: manifold.distance(p, p), lambda p: squared(manifold, p, p)):
        (gradient,) = torch.autograd.grad(function(points).sum(), points)
        assert bool(torch.isfinite(gradient).all())
        assert bool((gradient != 0).any())


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", MANIFOLDS)
def test_gradients_vanish_at_coincident_points(name, dtype):
    manifold = MANIFOLDS[name]
    points = manifold.sample(5, generator=generator(4), dtype=dtype).requires_grad_()
    for function in (lambda p: manifold.distance(p, p), lambda p: squared(manifold, p, p)):
        (gradient,) = torch.autograd.grad(function(points).diagonal().sum(), points)
        assert torch.equal(gradient, torch.zeros_like(gradient))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", MANIFOLDS)
def test_gradients_at_the_cut_locus_are_no_longer_than_a_unit_step(name, dtype):
    manifold = MANIFOLDS[name]
    x = manifold.sample(8, generator=generator(5), dtype=dtype).requires_grad_()
    y = far_points(manifold, x.detach())
    (gradient,) = torch.autograd.grad(manifold.distance(x, y).diagonal().sum(), x)
    riemannian = manifold.geometry.egrad2rgrad(x.detach(), gradient)
    assert bool(torch.isfinite(riemannian).all())
    assert manifold.geometry.norm(x.detach(), riemannian).max().item() <= 1 + 1e-4


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", MANIFOLDS)
def test_distance_grows_at_unit_speed(name, dtype):
    manifold = MANIFOLDS[name]
    x = manifold.sample(50, generator=generator(6), dtype=dtype).requires_grad_()
    y = manifold.sample(50, generator=generator(7), dtype=dtype)
    (gradient,) = torch.autograd.grad(manifold.distance(x, y).diagonal().sum(), x)
    geometry = manifold.geometry
    speed = geometry.norm(x.detach(), geometry.egrad2rgrad(x.detach(), gradient))
    torch.testing.assert_close(speed, torch.ones_like(speed), rtol=2e-4 if dtype == torch.float32 else 1e-9, atol=0)


@pytest.mark.parametrize("length", [1e-6, 1e-3])
def test_squared_distance_has_a_gradient_near_0_in_float32(length):
    circle = Sphere(1)
    x = torch.tensor([[1.0, 0.0]], requires_grad=True)
    y = torch.tensor([[1.0, length / circle.radius]])
    (gradient,) = torch.autograd.grad(squared(circle, x, y).sum(), x)
    assert gradient[0, 1].item() == pytest.approx(-2 * length * circle.radius, rel=1e-3)


def test_gradient_across_the_seam():
    torus = Torus(1)
    x = torch.tensor([[9.75]], requires_grad=True)
    (gradient,) = torch.autograd.grad(squared(torus, x, torch.tensor([[0.25]])).sum(), x)
    assert gradient.item() == -1.0


class LargestTensor(TorchDispatchMode):
    """Records the largest number of elements that any operation returns."""

    size = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        result = func(*args, **(kwargs or {}))
        # A storage, not a view: a broadcast row of a tile costs nothing.
        sizes = [leaf.untyped_storage().nbytes() for leaf in tree_leaves(result) if isinstance(leaf, torch.Tensor)]
        self.size = max([self.size, *sizes])
        return result


@pytest.mark.parametrize("name", MANIFOLDS)
def test_no_intermediate_is_larger_than_the_tile(name):
    manifold = MANIFOLDS[name]
    rows = manifold.coordinates(manifold.sample(300, generator=generator(8))).detach().requires_grad_()
    columns = manifold.coordinates(manifold.sample(200, generator=generator(9))).detach().requires_grad_()
    with LargestTensor() as largest:
        manifold.squared_distance(rows, columns).sum().backward()
    assert largest.size == 300 * 200 * 4


@pytest.mark.parametrize("name", MANIFOLDS)
def test_tile_form_under_functional_transforms(name):
    manifold = MANIFOLDS[name]
    rows = manifold.coordinates(manifold.sample(12, generator=generator(8))).detach()
    columns = manifold.coordinates(manifold.sample(9, generator=generator(9))).detach()
    expected = manifold.squared_distance(rows, columns)
    assert expected.shape == (12, 9)
    tiles = torch.func.vmap(manifold.squared_distance, in_dims=(0, None))(rows.reshape(3, 4, -1), columns)
    torch.testing.assert_close(tiles.reshape(12, 9), expected, rtol=1e-6, atol=0)

    def total(rows, columns):
        return manifold.squared_distance(rows, columns).sum()

    leaves = rows.clone().requires_grad_(), columns.clone().requires_grad_()
    expected_gradients = torch.autograd.grad(total(*leaves), leaves)
    functional = torch.func.grad(total, argnums=(0, 1))
    torch.testing.assert_close(functional(rows, columns), expected_gradients, rtol=1e-5, atol=1e-5)


# In a process of its own: dynamo cannot trace the type checks that the tests put into every function.
COMPILED = """
import torch
from riemod.manifolds import KleinBottle, PoincareBall, Product, Sphere, Torus
learned = PoincareBall(2, learn_curvature=True)
for manifold in [Torus(2), Sphere(1), Product([learned, Product([KleinBottle(), PoincareBall(2)])])]:
    def total(rows, columns):
        return manifold.squared_distance(rows, columns).sum()
    functional = torch.func.grad_and_value(total, argnums=(0, 1))
    rows, columns = (manifold.coordinates(manifold.sample(n)).detach() for n in (12, 9))
    torch._dynamo.reset()
    captured = torch.compile(functional, backend="aot_eager", fullgraph=True)
    torch.testing.assert_close(captured(rows, columns), functional(rows, columns), rtol=1e-5, atol=1e-5)
    print(manifold)
"""


def test_tile_form_compiles_without_a_graph_break():
    finished = subprocess.run([sys.executable, "-c", COMPILED], capture_output=True, text=True, check=False)
    assert finished.returncode == 0, finished.stderr
    assert len(finished.stdout.splitlines()) == 3
