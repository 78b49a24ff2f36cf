"""Signed laws: positive and negative weights pay by two inhibitors, with the value and slopes of the formula."""

import copy
import math
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from riemod import ModuliRegularizer, inhibitors, moduli_penalty
from riemod.manifolds import Euclidean, Manifold, PoincareBall, Sphere, Torus
from riemod.regularization import _kernels as kernels
from riemod.regularization import _tiles as tiles
from riemod.regularization.inhibitors import Negated, Scaled, Signed
from tests.manifolds.isometries import isometry
from tests.regularization.formulas import MANIFOLDS, limit_tiles, plain_signed
from tests.strategies import generator, seeds

PAIRS: dict[str, Signed] = {
    "hat": Signed.mexican_hat(Torus(2)),
    "ricker and dog": Signed(inhibitors.Ricker(width=2.0), inhibitors.DifferenceOfGaussians()),
    "diffusion and sinusoid": Signed(inhibitors.Diffusion(), inhibitors.Sinusoid()),
    "of functions": Signed(lambda d: 1 + d, lambda d: 3 / (1 + d)),
}
BUILT = {name: make().double() for name, make in MANIFOLDS.items()}
HAT = PAIRS["hat"]
N = 9
sizes, kinds = st.integers(1, 12), st.sampled_from(sorted(PAIRS))


def drawn(manifold: Manifold, n: int, m: int, seed: int) -> tuple[Tensor, Tensor, Tensor, torch.Generator]:
    source = generator(seed)
    points, sources = (manifold.sample(k, generator=source, dtype=torch.float64) for k in (n, m))
    return torch.randn(n, m, generator=source, dtype=torch.float64), points, sources, source


def slopes(value: Tensor, leaves: list[Tensor]) -> tuple[Tensor, ...]:
    return (value.detach(), *torch.autograd.grad(value, leaves, materialize_grads=True))


@pytest.mark.parametrize("name", MANIFOLDS)
@given(n=sizes, m=sizes, seed=seeds, kind=kinds, power=st.sampled_from([1, 1.5, 2]), tile=st.integers(1, 200))
@settings(max_examples=15)
def test_value_and_gradients_are_the_formula_s_in_tiles_of_any_size(name, n, m, seed, kind, power, tile):
    manifold, law = BUILT[name], PAIRS[kind]
    weight, points, sources, _ = drawn(manifold, n, m, seed)
    leaves = [weight.requires_grad_(), points.requires_grad_(), sources.requires_grad_(), *manifold.parameters()]
    with pytest.MonkeyPatch.context() as patch:
        limit_tiles(patch, tile)
        found = slopes(moduli_penalty(weight, points, manifold, law, power, source_points=sources), leaves)
    expected = slopes(plain_signed(weight, points, manifold, law, power, source_points=sources), leaves)
    for one, other in zip(found, expected, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-7, atol=1e-7)


@pytest.mark.parametrize("kind", PAIRS)
def test_gradients_are_finite_differences(kind):
    torus = Torus(2)
    # Away from weights of 0 and from the cut locus, where slopes jump.
    weight = torch.tensor([[0.5, -0.3, 0.2], [-0.7, 0.4, -0.1]], dtype=torch.float64, requires_grad=True)
    points = torch.tensor([[0.3, 0.8], [2.0, 3.0]], dtype=torch.float64, requires_grad=True)
    sources = torch.tensor([[1.0, 2.0], [3.5, 0.4], [9.0, 2.2]], dtype=torch.float64, requires_grad=True)

    def value(w: Tensor, x: Tensor, y: Tensor) -> Tensor:
        return moduli_penalty(w, x, torus, PAIRS[kind], reduction="sum", source_points=y)

    assert torch.autograd.gradcheck(value, (weight, points, sources), check_batched_grad=False)


@pytest.mark.parametrize("name", MANIFOLDS)
@given(n=sizes, seed=seeds, kind=kinds)
@settings(max_examples=15)
def test_isometries_and_new_numbers_for_neurons_leave_it_alone(name, n, seed, kind):
    manifold, law = BUILT[name], PAIRS[kind]
    weight, points, _, source = drawn(manifold, n, n, seed)
    before = moduli_penalty(weight, points, manifold, law)
    moved = moduli_penalty(weight, isometry(manifold, source)(points), manifold, law)
    order = torch.randperm(n, generator=source)
    renumbered = moduli_penalty(weight[order][:, order], points[order], manifold, law)
    torch.testing.assert_close((moved, renumbered), (before, before), rtol=1e-7, atol=1e-9)


@given(seed=seeds, kind=kinds, power=st.sampled_from([1, 2]))
def test_each_sign_pays_by_its_own_law_alone(seed, kind, power):
    law, torus = PAIRS[kind], Torus(2)
    weight, points, _, _ = drawn(torus, 6, 6, seed)

    def penalty(matrix: Tensor, own: Any) -> Tensor:
        return moduli_penalty(matrix, points, torus, own, power, "sum")

    parts = penalty(weight.clamp_min(0), law.positive) + penalty(weight.clamp_max(0), law.negative)
    torch.testing.assert_close(penalty(weight, law), parts)
    turned = Signed(law.negative, law.positive)
    torch.testing.assert_close(penalty(-weight, turned), penalty(weight, law))


def test_weights_of_zero_cost_nothing_and_stay():
    torus = Torus(2)
    points = torus.sample(5, generator=generator(0)).requires_grad_()
    for zero in (0.0, -0.0):
        weight = torch.full((5, 5), zero, requires_grad=True)
        value, *gradients = slopes(moduli_penalty(weight, points, torus, HAT), [weight, points])
        assert value.item() == 0
        assert not any(gradient.any() for gradient in gradients)


def test_nan_in_a_weight_is_not_hidden():
    torus = Torus(2)
    weight = torch.ones(3, 3)
    weight[1, 1] = math.nan
    assert moduli_penalty(weight, torus.sample(3, generator=generator(0)), torus, HAT).isnan()


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_narrow_weights_are_summed_in_float32(dtype):
    torus, n = Torus(2), 40
    weight = torch.randn(n, n, generator=generator(0)).to(dtype).requires_grad_()
    points = torus.sample(n, generator=generator(1)).float().requires_grad_()
    value, by_weight, by_points = slopes(moduli_penalty(weight, points, torus, HAT), [weight, points])
    exact = [tensor.detach().double().requires_grad_() for tensor in (weight, points)]
    expected = slopes(plain_signed(exact[0], exact[1], torus, HAT), exact)
    assert (value.dtype, by_weight.dtype, by_points.dtype) == (dtype, dtype, torch.float32)
    tolerance = 2 * torch.finfo(dtype).eps
    torch.testing.assert_close(value.double(), expected[0], rtol=tolerance, atol=0)
    torch.testing.assert_close(by_weight.double(), expected[1], rtol=tolerance, atol=1e-6)
    torch.testing.assert_close(by_points.double(), expected[2], rtol=tolerance, atol=1e-6)


def test_under_vmap_and_torch_func():
    torus = Torus(2)
    weights = torch.randn(3, 5, 5, generator=generator(0), dtype=torch.float64)
    points = torus.sample(5, generator=generator(1), dtype=torch.float64)

    def value(weight: Tensor) -> Tensor:
        return moduli_penalty(weight, points, torus, HAT)

    found = torch.func.vmap(torch.func.grad(value))(weights)
    for weight, slope in zip(weights, found, strict=True):
        leaf = weight.clone().requires_grad_()
        torch.testing.assert_close(slope, torch.autograd.grad(plain_signed(leaf, points, torus, HAT), leaf)[0])


@pytest.mark.parametrize("manifold", [Torus(2), Sphere(2), Torus(6, period=4.0), PoincareBall(2), Euclidean(3)])
def test_the_mexican_hat_is_the_mean_free_kernel(manifold):
    law = Signed.mexican_hat(manifold)
    x, y = (manifold.sample(1000, generator=generator(seed), dtype=torch.float64) for seed in (10, 11))
    distances = manifold.distance(x, y)
    width = 0.63 * distances.mean()
    bell = torch.exp(-(distances**2) / (2 * width**2))
    kernel = (bell - bell.mean()) / (1 - bell.mean())
    torch.testing.assert_close(law.positive(distances), 1 - kernel, rtol=0, atol=0.08)
    torch.testing.assert_close(law.negative(distances), 1 + kernel, rtol=0, atol=0.08)
    for part in law.parts:
        assert part(distances).mean().item() == pytest.approx(1, abs=0.05)
        assert bool((part(distances) >= 0).all())
    torch.testing.assert_close(law.positive(distances) + law.negative(distances), torch.full_like(distances, 2.0))
    assert law.positive(torch.zeros(1)).item() == 0
    assert not law.collapses
    assert law == Signed.mexican_hat(copy.deepcopy(manifold))


def test_the_width_of_the_hat():
    assert Signed.mexican_hat(Torus(2), 1.5).positive.width == 2 * 1.5**2
    scaled = Signed.mexican_hat(Torus(2, period=20.0)), Signed.mexican_hat(Torus(2, period=10.0))
    assert scaled[0].positive.width == pytest.approx(4 * scaled[1].positive.width)
    assert scaled[0].negative.floor == pytest.approx(scaled[1].negative.floor)
    for width in (0.0, -1.0, math.nan, math.inf):
        with pytest.raises(ValueError, match="width must be positive and finite, got"):
            Signed.mexican_hat(Torus(2), width)
    for width in (30.0, 1e20, 1e-3, 1e-20):
        with pytest.raises(ValueError, match=r"width must give .* a mean over uniform pairs from 1e-06 to 0\.5"):
            Signed.mexican_hat(Torus(2), width)
    for width in (1e300, 1e-300):
        with pytest.raises(ValueError, match=r"width must be from 1e-30 to 1e\+30"):
            Signed.mexican_hat(Torus(2), width)
    with pytest.raises(TypeError, match="manifold must be a Manifold, got int"):
        Signed.mexican_hat(3)  # pyright: ignore[reportArgumentType]


@pytest.mark.parametrize(
    ("positive", "negative", "error", "message"),
    [
        (inhibitors.Ricker(), inhibitors.Ricker(), ValueError, r"negative must differ from positive, got .*Ricker"),
        (lambda d: d, inhibitors.Diffusion(), ValueError, "negative must differ from positive"),
        (inhibitors.Ricker(), 3.0, TypeError, r"negative must be an Inhibitor or a function of the distance, got 3\.0"),
        (inhibitors.Ricker, inhibitors.Gaussian(), TypeError, "positive must be an instance, got the class Ricker"),
        (HAT, inhibitors.Gaussian(), TypeError, "positive must be one law for all weights here"),
        (lambda d: -d, inhibitors.Gaussian(), ValueError, "positive must be .* function must be finite and >= 0"),
    ],
)
def test_bad_pairs_are_named(positive, negative, error, message):
    with pytest.raises(error, match=message):
        Signed(positive, negative)


@pytest.mark.parametrize(
    "law",
    [
        Negated(inhibitors.Ricker()),
        Scaled(Negated(inhibitors.Ricker()), 2.0),
        Signed(HAT.positive, Negated(HAT.positive)),
    ],
)
def test_negative_costs_are_for_evidence_alone(law):
    torus = Torus(2)
    with pytest.raises(ValueError, match=r"inhibitor must cost at least 0 for a penalty, got .*Negated"):
        moduli_penalty(torch.ones(2, 2), torus.sample(2), torus, law)
    with pytest.raises(ValueError, match="inhibitor must cost at least 0"):
        ModuliRegularizer(nn.RNN(2, N), torus, inhibitor=law)


def test_which_pairs_collapse_points():
    attract, repel = inhibitors.Gaussian(), inhibitors.Crowding()
    assert Signed(attract, inhibitors.Diffusion()).collapses
    assert not Signed(attract, repel).collapses
    assert not Signed(repel, attract).collapses
    with pytest.raises(ValueError, match="collapses learned points"):
        ModuliRegularizer(nn.RNN(2, N), Torus(2), inhibitor=Signed(attract, inhibitors.Diffusion()), learn=True)


def test_kernels_are_shared_by_equal_pairs_alone():
    def key(law: Any) -> Any:
        return kernels._kernel_key(tiles.Law(Torus(2), law, 1, True), torch.float32, torch.float32, torch.device("cpu"))

    parts = HAT.parts
    laws = [HAT, Signed(*reversed(parts)), *parts, PAIRS["ricker and dog"]]
    assert len({key(law) for law in laws}) == len(laws)
    assert key(HAT) == key(Signed(*parts))
    assert tiles.KnownCosts(1).key() != tiles.KnownCosts(1, signed=True).key()
