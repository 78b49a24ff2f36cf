"""Eq. 6, tile by tile, against the plain O(n^2) formula: value and every gradient."""

import math

import pytest
import torch
from torch import Tensor, nn

from riemod import inhibitors, moduli_penalty
from riemod.manifolds import Euclidean, Manifold, Sphere, Torus
from tests.regularization.formulas import EVERY, MANIFOLDS, SMOOTH, limit_tiles, plain_penalty
from tests.strategies import generator

Case = tuple[Tensor, Tensor, Tensor, Manifold]


def case(name: str, n: int, m: int, dtype: torch.dtype = torch.float64) -> Case:
    """A weight with some zeros, target points, source points, and the manifold with its parameters in the dtype."""
    manifold = MANIFOLDS[name]().to(dtype)
    source = generator(1000 * n + m)
    points = manifold.sample(n, generator=source, dtype=dtype).requires_grad_()
    sources = manifold.sample(m, generator=source, dtype=dtype).requires_grad_()
    weight = torch.randn(n, m, generator=source, dtype=dtype)
    weight[torch.rand(n, m, generator=source) < 0.2] = 0
    return weight.requires_grad_(), points, sources, manifold


def assert_same_gradients(value: Tensor, expected: Tensor, inputs: list[Tensor]) -> None:
    torch.testing.assert_close(value, expected, rtol=1e-10, atol=1e-10)
    upstream = torch.tensor(-1.7, dtype=value.dtype)
    ours = torch.autograd.grad(value, inputs, upstream, materialize_grads=True)
    plain = torch.autograd.grad(expected, inputs, upstream, materialize_grads=True)
    for own, theirs in zip(ours, plain, strict=True):
        scale = max(1.0, theirs.abs().max().item())
        torch.testing.assert_close(own, theirs, rtol=1e-7, atol=1e-9 * scale)


@pytest.mark.parametrize("power", [1, 1.5, 2, 3])
@pytest.mark.parametrize("inhibitor", EVERY)
@pytest.mark.parametrize("name", MANIFOLDS)
def test_value_and_gradients_are_the_plain_formula_s(name, inhibitor, power):
    f = EVERY[inhibitor]
    weight, points, _, manifold = case(name, 9, 9)
    for reduction in ("mean", "sum"):
        value = moduli_penalty(weight, points, manifold, f, power, reduction)
        assert value.shape == ()
        expected = plain_penalty(weight, points, manifold, f, power, reduction)
        assert_same_gradients(value, expected, [weight, points, *manifold.parameters()])


@pytest.mark.parametrize("tile", [1, 4, 7, 12, 50, 1 << 17])
@pytest.mark.parametrize(("n", "m"), [(1, 1), (1, 6), (6, 1), (4, 4), (5, 3), (3, 5), (7, 7), (8, 13), (13, 8)])
@pytest.mark.parametrize("name", ["torus", "learned poincare"])
def test_tiles_may_end_anywhere(name, n, m, tile, monkeypatch):
    limit_tiles(monkeypatch, tile)
    f = inhibitors.DifferenceOfGaussians()
    weight, points, sources, manifold = case(name, n, m)
    value = moduli_penalty(weight, points, manifold, f, 1.5, source_points=sources)
    expected = plain_penalty(weight, points, manifold, f, 1.5, source_points=sources)
    assert_same_gradients(value, expected, [weight, points, sources, *manifold.parameters()])
    if n == m:
        value = moduli_penalty(weight, points, manifold, f)
        assert_same_gradients(value, plain_penalty(weight, points, manifold, f), [weight, points])


@pytest.mark.parametrize("tile", [4, 1 << 17])
@pytest.mark.parametrize("name", MANIFOLDS)
def test_gradcheck(name, tile, monkeypatch):
    limit_tiles(monkeypatch, tile)
    _, points, sources, manifold = case(name, 4, 3)
    # |w| has a kink at 0, which finite differences must not step over.
    weight = torch.rand(4, 3, generator=generator(0), dtype=torch.float64) + 0.1
    weight = (weight * torch.tensor([1.0, -1.0, 1.0])).requires_grad_()
    parameters = list(manifold.parameters())

    def penalty(*inputs: Tensor) -> Tensor:
        # The manifold's parameters are inputs too; it reads the very tensors that gradcheck moves in place.
        return moduli_penalty(*inputs[:2], manifold, SMOOTH["dog"], 1.5, "sum", source_points=inputs[2])

    assert torch.autograd.gradcheck(penalty, (weight, points, sources, *parameters))


@pytest.mark.parametrize("inhibitor", ["dog", "sinusoid", "diffusion", "indrnn"])
@pytest.mark.parametrize("name", MANIFOLDS)
def test_float32_is_within_1e_5_of_float64(name, inhibitor):
    manifold = MANIFOLDS[name]()
    weight, points, _, _ = case(name, 96, 96, torch.float32)
    single = moduli_penalty(weight, points, manifold, EVERY[inhibitor])
    grads = torch.autograd.grad(single, [weight, points])
    wide = [weight.detach().double().requires_grad_(), points.detach().double().requires_grad_()]
    double = moduli_penalty(*wide, manifold.double(), EVERY[inhibitor])
    assert single.dtype == torch.float32
    assert single.item() == pytest.approx(double.item(), rel=1e-5)
    for own, exact in zip(grads, torch.autograd.grad(double, wide), strict=True):
        assert (own - exact).norm() <= 1e-5 * exact.norm()


@pytest.mark.parametrize("learn", [False, True])
def test_coincident_and_farthest_points_have_finite_gradients(learn):
    torus = Torus(2)
    points = torch.tensor([[0.0, 0.0], [0.0, 0.0], [5.0, 5.0], [5.0, 0.0]], requires_grad=learn)
    weight = torch.ones(4, 4, requires_grad=True)
    for f in EVERY.values():
        value = moduli_penalty(weight, points, torus, f)
        for gradient in torch.autograd.grad(value, [weight, points] if learn else [weight]):
            assert gradient.isfinite().all()


def test_rows_are_targets_and_columns_are_sources():
    line = Euclidean(1)
    targets, sources = torch.tensor([[0.0], [10.0]]), torch.tensor([[1.0], [2.0], [4.0]])
    weight = torch.zeros(2, 3)
    weight[1, 2] = 3.0
    value = moduli_penalty(weight, targets, line, lambda d: d, reduction="sum", source_points=sources)
    assert value.item() == pytest.approx(3 * 6)
    assert moduli_penalty(weight, targets, line, lambda d: d, source_points=sources).item() == pytest.approx(3)


def test_no_grad_gives_the_same_value():
    weight, points, _, manifold = case("euclidean", 6, 6)
    with torch.no_grad():
        value = moduli_penalty(weight, points, manifold, SMOOTH["dog"])
    assert not value.requires_grad
    assert value.item() == moduli_penalty(weight, points, manifold, SMOOTH["dog"]).item()


@pytest.mark.parametrize("which", [(0,), (1,), (2,), (0, 1), (0, 2), (1, 2)])
def test_only_what_requires_a_gradient_gets_one(which):
    weight, points, sources, manifold = case("torus", 5, 7)
    inputs = [weight, points, sources]
    for index, tensor in enumerate(inputs):
        tensor.requires_grad_(index in which)
    moduli_penalty(weight, points, manifold, SMOOTH["dog"], source_points=sources).backward()
    assert [tensor.grad is not None for tensor in inputs] == [index in which for index in range(3)]
    full = [tensor.detach().requires_grad_() for tensor in inputs]
    plain_penalty(*full[:2], manifold, SMOOTH["dog"], source_points=full[2]).backward()
    for index in which:
        torch.testing.assert_close(inputs[index].grad, full[index].grad)


@pytest.mark.parametrize("view", ["transposed", "strided", "expanded"])
def test_weights_may_have_any_strides(view, monkeypatch):
    limit_tiles(monkeypatch, 12)
    _, points, _, manifold = case("torus", 8, 8)
    base = torch.randn(16, 16, dtype=torch.float64, generator=generator(3)).requires_grad_()
    weight = {"transposed": base[:8, :8].t(), "strided": base[::2, 1::2], "expanded": base[:1, :8].expand(8, 8)}[view]
    assert not weight.is_contiguous()
    value = moduli_penalty(weight, points, manifold, SMOOTH["dog"], 2)
    assert_same_gradients(value, plain_penalty(weight, points, manifold, SMOOTH["dog"], 2), [base, points])


def test_a_weight_may_be_used_twice_and_gradients_accumulate():
    weight, points, _, manifold = case("sphere", 5, 5)
    (moduli_penalty(weight, points, manifold, SMOOTH["dog"]) * 2 + (weight**2).sum()).backward()
    other = [tensor.detach().requires_grad_() for tensor in (weight, points)]
    (plain_penalty(*other, manifold, SMOOTH["dog"]) * 2 + (other[0] ** 2).sum()).backward()
    torch.testing.assert_close(weight.grad, other[0].grad)
    torch.testing.assert_close(points.grad, other[1].grad)


def test_a_nan_weight_is_not_hidden():
    weight, points, _, manifold = case("torus", 4, 4)
    with torch.no_grad():
        weight[1, 2] = math.nan
    for power in (1, 2):
        assert moduli_penalty(weight, points, manifold, SMOOTH["dog"], power).isnan()


def test_a_second_derivative_is_refused():
    weight, points, _, manifold = case("torus", 4, 4)
    value = moduli_penalty(weight, points, manifold, SMOOTH["dog"])
    with pytest.raises(RuntimeError, match="the moduli penalty is differentiable once: call backward without create_g"):
        torch.autograd.grad(value, [weight], create_graph=True)


TORUS = Torus(2)
WEIGHT, POINTS = torch.ones(3, 3), torch.tensor([[0.0, 0.0], [1.0, 2.0], [9.0, 5.0]])
BAD = {
    "not a tensor": ({"weight": [[1.0]]}, TypeError, "weight must be a tensor, got list"),
    "vector": ({"weight": torch.ones(3)}, ValueError, r"weight must be a matrix .*, got shape \(3,\)"),
    "empty": (
        {"weight": torch.ones(0, 0), "points": torch.ones(0, 2)},
        ValueError,
        r"weight must be a matrix \(n, m\) with n, m >= 1, got shape \(0, 0\)",
    ),
    "integers": ({"weight": torch.ones(3, 3, dtype=torch.int64)}, TypeError, "weight must be floating-point"),
    "complex": ({"weight": torch.ones(3, 3, dtype=torch.complex64)}, TypeError, "weight must be floating-point"),
    "sparse": ({"weight": torch.ones(3, 3).to_sparse()}, TypeError, "weight must be dense, got torch.sparse_coo"),
    "rows": ({"weight": torch.ones(4, 3)}, ValueError, r"points must hold 4 points for a weight \(4, 3\), got 3"),
    "columns": ({"weight": torch.ones(3, 4)}, ValueError, r"source_points must hold 4 points .*, got 3"),
    "dtype": ({"weight": torch.ones(3, 3).double()}, TypeError, "points must have the weight's dtype torch.float64"),
    "source dtype": (
        {"source_points": POINTS.double()},
        TypeError,
        "source_points must have the weight's dtype torch.float32, got torch.float64",
    ),
    "device": ({"weight": torch.ones(3, 3, device="meta")}, ValueError, "points must be on the weight's device meta"),
    "points type": ({"points": None}, TypeError, "points must be a tensor, got NoneType"),
    "points shape": ({"points": torch.ones(3, 3)}, ValueError, r"points must have shape \(n, 2\)"),
    "points nan": ({"points": POINTS * math.nan}, ValueError, "points must be finite"),
    "points off": ({"points": POINTS + 7}, ValueError, r"points must lie on Torus\(dim=2, period=10\)"),
    "sources off": ({"source_points": POINTS - 7}, ValueError, "source_points must lie on Torus"),
    "sources nan": ({"source_points": POINTS * math.nan}, ValueError, "source_points must be finite"),
    "manifold": ({"manifold": "torus"}, TypeError, "manifold must be a Manifold, got str"),
    "power": ({"power": 0.99}, ValueError, "power must be finite and >= 1, got 0.99"),
    "power nan": ({"power": math.nan}, ValueError, "power must be finite and >= 1, got nan"),
    "power inf": ({"power": math.inf}, ValueError, "power must be finite and >= 1, got inf"),
    "power str": ({"power": "2"}, ValueError, "power must be finite and >= 1, got '2'"),
    "reduction": ({"reduction": "none"}, ValueError, "reduction must be 'mean' or 'sum', got 'none'"),
    "inhibitor": ({"inhibitor": 1.0}, TypeError, "function must map a tensor of distances to a tensor, got 1.0"),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_input_is_named(name):
    changed, error, message = BAD[name]
    arguments = {"weight": WEIGHT, "points": POINTS, "manifold": TORUS, "inhibitor": SMOOTH["dog"], **changed}
    with pytest.raises(error, match=message):
        moduli_penalty(**arguments)


def test_points_off_the_unit_sphere_by_rounding_are_fine():
    sphere = Sphere(2)
    points = sphere.sample(5, generator=generator(0), dtype=torch.float32) * (1 + 3e-7)
    weight = nn.Parameter(torch.ones(5, 5))
    assert moduli_penalty(weight, points, sphere, SMOOTH["dog"]).isfinite()
