"""Laws of Eq. 6 on drawn weights and points, and what it may hold in memory."""

from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

from riemod import inhibitors, moduli_penalty
from riemod.manifolds import KleinBottle, Manifold, Torus
from riemod.regularization import Modules, ModuliRegularizer
from tests.manifolds.isometries import isometry
from tests.regularization.formulas import EVERY, MANIFOLDS, SMOOTH, deck_image, limit_tiles
from tests.strategies import dtypes, generator, manifolds, scattered_points, seeds

sizes = st.integers(1, 12)
powers = st.sampled_from([1, 1.5, 2, 3])
kinds = st.sampled_from(sorted(EVERY))
BUILT = {name: make().double() for name, make in MANIFOLDS.items()}


def drawn(manifold: Manifold, n: int, m: int, seed: int) -> tuple[Tensor, Tensor, Tensor, torch.Generator]:
    source = generator(seed)
    points, sources = (manifold.sample(k, generator=source, dtype=torch.float64) for k in (n, m))
    return torch.randn(n, m, generator=source, dtype=torch.float64), points, sources, source


def assert_equal(one: Tensor, other: Tensor, rtol: float = 1e-9) -> None:
    torch.testing.assert_close(one, other, rtol=rtol, atol=1e-9)


@pytest.mark.parametrize("name", MANIFOLDS)
@given(n=sizes, m=sizes, seed=seeds, kind=kinds, power=powers)
def test_isometries_leave_it_alone(name, n, m, seed, kind, power):
    manifold = BUILT[name]
    weight, points, sources, source = drawn(manifold, n, m, seed)
    move = isometry(manifold, source)
    before = moduli_penalty(weight, points, manifold, EVERY[kind], power, "sum", source_points=sources)
    after = moduli_penalty(weight, move(points), manifold, EVERY[kind], power, "sum", source_points=move(sources))
    assert_equal(after, before, rtol=1e-8)


@pytest.mark.parametrize("manifold", [Torus(2), Torus(6, period=4.0), KleinBottle()], ids=str)
@given(n=sizes, seed=seeds, kind=kinds)
def test_deck_transformations_leave_it_alone(manifold, n, seed, kind):
    weight, points, _, source = drawn(manifold, n, n, seed)
    image = manifold.geometry.projx(deck_image(manifold, points, source))
    before = moduli_penalty(weight, points, manifold, EVERY[kind], source_points=points)
    # Each neuron has an image of its own; IndRNN alone tells rounding from 0, so its own points stay on both sides.
    other = points if kind == "indrnn" else image
    assert_equal(moduli_penalty(weight, other, manifold, EVERY[kind], source_points=points), before, rtol=1e-6)
    assert_equal(moduli_penalty(weight, image, manifold, EVERY[kind]), before, rtol=1e-8)


@pytest.mark.parametrize("name", MANIFOLDS)
@given(n=sizes, seed=seeds, kind=kinds, power=powers)
def test_neurons_may_be_renumbered(name, n, seed, kind, power):
    manifold = BUILT[name]
    weight, points, _, source = drawn(manifold, n, n, seed)
    order = torch.randperm(n, generator=source)
    before = moduli_penalty(weight, points, manifold, EVERY[kind], power)
    assert_equal(moduli_penalty(weight[order][:, order], points[order], manifold, EVERY[kind], power), before)


@given(n=sizes, seed=seeds, kind=kinds, power=powers, factor=st.floats(-4, 4))
def test_it_is_homogeneous_and_additive_in_the_raised_weights(n, seed, kind, power, factor):
    manifold, f = BUILT["sphere"], EVERY[kind]
    weight, points, _, source = drawn(manifold, n, n, seed)

    def penalty(matrix: Tensor) -> Tensor:
        return moduli_penalty(matrix, points, manifold, f, power, "sum")

    assert_equal(penalty(factor * weight), abs(factor) ** power * penalty(weight))
    assert_equal(penalty(-weight), penalty(weight))
    chosen = torch.rand(n, n, generator=source) < 0.5
    assert_equal(penalty(weight * chosen) + penalty(weight * ~chosen), penalty(weight))
    assert_equal(moduli_penalty(weight, points, manifold, f, power) * n * n, penalty(weight))


@pytest.mark.parametrize("name", MANIFOLDS)
@pytest.mark.parametrize("power", [1, 1.5, 2])
def test_zero_weights_cost_nothing_and_stay(name, power):
    manifold = BUILT[name]
    points = manifold.sample(5, generator=generator(0), dtype=torch.float64).requires_grad_()
    weight = torch.zeros(5, 5, dtype=torch.float64, requires_grad=True)
    value = moduli_penalty(weight, points, manifold, SMOOTH["dog"], power)
    assert value.item() == 0
    for gradient in torch.autograd.grad(value, [weight, points]):
        assert torch.equal(gradient, torch.zeros_like(gradient))


@given(manifold=manifolds(), seed=seeds, dtype=dtypes, kind=kinds, power=powers)
@settings(max_examples=60)
def test_hard_places_of_any_manifold_cost_what_their_distance_says(manifold, seed, dtype, kind, power):
    """Coincident points, near neighbors and cut loci: the value of the dense formula, and no infinite slope."""
    manifold = manifold.to(dtype)
    points = scattered_points(manifold, seed, dtype).requires_grad_()
    n = len(points)
    weight = torch.randn(n, n, generator=generator(seed), dtype=dtype).requires_grad_()
    value = moduli_penalty(weight, points, manifold, EVERY[kind], power)
    coordinates = manifold.coordinates(points)
    cost = EVERY[kind].of_squared_distance(manifold.squared_distance(coordinates, coordinates))
    torch.testing.assert_close(value, (cost * weight.abs() ** power).mean(), rtol=50 * torch.finfo(dtype).eps, atol=0)
    for gradient in torch.autograd.grad(value, [weight, points, *manifold.parameters()], materialize_grads=True):
        assert gradient.isfinite().all()


@given(n=sizes, m=sizes, seed=seeds, tile=st.integers(1, 200), kind=kinds, name=st.sampled_from(sorted(MANIFOLDS)))
@settings(max_examples=100)
def test_the_size_of_a_tile_changes_nothing_but_rounding(n, m, seed, tile, kind, name):
    manifold = BUILT[name]
    weight, points, sources, _ = drawn(manifold, n, m, seed)
    inputs = [weight.requires_grad_(), points.requires_grad_(), sources.requires_grad_()]

    def evaluate() -> tuple[Tensor, ...]:
        value = moduli_penalty(weight, points, manifold, EVERY[kind], source_points=sources)
        return (value, *torch.autograd.grad(value, inputs, materialize_grads=True))

    whole = evaluate()
    with pytest.MonkeyPatch.context() as patch:
        limit_tiles(patch, tile)
        for tiled, expected in zip(evaluate(), whole, strict=True):
            assert_equal(tiled, expected)


class LargestTensors(TorchDispatchMode):
    """Counts the tensors above a size that operations allocate, and notes the largest of them."""

    def __init__(self, above: int) -> None:
        super().__init__()
        self.above, self.largest, self.large = above, 0, 0
        self.devices: set[str] = set()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        known = {arg.untyped_storage().data_ptr() for arg in args if isinstance(arg, Tensor)}
        for tensor in result if isinstance(result, tuple | list) else (result,):
            if isinstance(tensor, Tensor):
                self.devices.add(tensor.device.type)
                new = tensor.untyped_storage().data_ptr() not in known
                self.largest = max(self.largest, tensor.numel())
                self.large += new and tensor.numel() > self.above
        return result


def test_the_counter_sees_what_the_plain_formula_allocates():
    points = torch.rand(40, 6)
    with LargestTensors(above=40 * 40) as seen:
        ((points[:, None] - points[None]) ** 2).sum(2)
    assert (seen.largest, seen.large) == (40 * 40 * 6, 2)


@pytest.mark.parametrize("name", MANIFOLDS)
@pytest.mark.parametrize("power", [1, 1.5])
def test_nothing_is_larger_than_a_tile_but_the_weight_s_gradient(name, power, monkeypatch):
    tile, n = 1 << 12, 256
    limit_tiles(monkeypatch, tile)
    manifold = MANIFOLDS[name]()
    points = manifold.sample(n, generator=generator(0), dtype=torch.float32).requires_grad_()
    weight = torch.randn(n, n, requires_grad=True)
    with LargestTensors(above=tile) as forward:
        value = moduli_penalty(weight, points, manifold, SMOOTH["dog"], power)
    assert forward.largest == n * n
    assert forward.large == 1
    with LargestTensors(above=tile) as backward:
        value.backward()
    # What the forward saved becomes the gradient.
    assert backward.large == 0
    assert forward.devices == backward.devices == {"cpu"}
    assert weight.grad is not None
    assert points.grad is not None


@pytest.mark.parametrize("layout", ["one", "modules"])
def test_the_regularizer_holds_no_more(layout, monkeypatch):
    tile, n = 1 << 12, 256
    limit_tiles(monkeypatch, tile)
    torus = Torus(6)
    manifold = torus if layout == "one" else Modules([(torus, 100), (Torus(2), None)], between=5.0)
    layer = nn.LSTM(2, n)
    moduli = ModuliRegularizer(layer, manifold, inhibitor=inhibitors.Ricker(), learn=True, power=1.5)
    with LargestTensors(above=tile) as seen:
        moduli().backward()
    assert seen.largest == layer.weight_hh_l0.numel() == 4 * n * n
