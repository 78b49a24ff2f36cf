"""The energy of points by signed evidence: value and slope of one pass, negative costs, and what it refuses."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from riemod.manifolds import PoincareBall, Sphere, Torus
from riemod.regularization import _kernels as kernels
from riemod.regularization import evidence_energy, moduli_penalty
from riemod.regularization.inhibitors import Crowding, Gaussian, Negated, Ricker, Signed
from tests.regularization.formulas import MANIFOLDS, limit_tiles, plain_signed
from tests.strategies import generator, seeds

BUILT = {name: make().double() for name, make in MANIFOLDS.items()}
LAWS = {
    "hat": Signed.mexican_hat(Torus(2)),
    "attraction below 0": Signed(Negated(Crowding(2.0, 3.0)), Crowding(2.0, 3.0)),
    "both below 0": Signed(Negated(Ricker()), Negated(Gaussian())),
}
TORUS = Torus(2)
sizes = st.integers(1, 9)


def slopes(value: Tensor, leaves: list[Tensor]) -> tuple[Tensor, ...]:
    return (value.detach(), *torch.autograd.grad(value, leaves, materialize_grads=True))


@pytest.mark.parametrize("name", MANIFOLDS)
@given(
    n=st.integers(1, 9), m=st.integers(1, 9), seed=seeds, kind=st.sampled_from(sorted(LAWS)), tile=st.integers(1, 90)
)
@settings(max_examples=15)
def test_value_and_slopes_are_the_formula_s(name, n, m, seed, kind, tile):
    manifold, source = BUILT[name], generator(seed)
    points, sources = (manifold.sample(k, generator=source, dtype=torch.float64).requires_grad_() for k in (n, m))
    evidence = torch.randn(n, m, generator=source, dtype=torch.float64)
    leaves = [points, sources, *manifold.parameters()]
    with pytest.MonkeyPatch.context() as patch:
        limit_tiles(patch, tile)
        found = slopes(evidence_energy(points, evidence, manifold, LAWS[kind], source_points=sources), leaves)
    expected = slopes(plain_signed(evidence, points, manifold, LAWS[kind], source_points=sources), leaves)
    for one, other in zip(found, expected, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-7, atol=1e-7)


@pytest.mark.parametrize("kind", LAWS)
def test_slopes_are_finite_differences(kind):
    points = Sphere(2).sample(4, generator=generator(0), dtype=torch.float64)
    evidence = torch.randn(4, 4, generator=generator(1), dtype=torch.float64)
    step = 1e-6 * torch.randn(4, 3, generator=generator(2), dtype=torch.float64)

    def energy(x: Tensor) -> Tensor:
        return evidence_energy(Sphere(2).geometry.projx(x), evidence, Sphere(2), LAWS[kind], "sum")

    leaf = points.clone().requires_grad_()
    (slope,) = torch.autograd.grad(energy(leaf), leaf)
    difference = (energy(points + step) - energy(points - step)) / 2
    torch.testing.assert_close((slope * step).sum(), difference, rtol=1e-5, atol=1e-12)


def test_a_law_and_its_negative_read_the_signed_matrix():
    evidence, points = torch.randn(6, 6, generator=generator(0)), TORUS.sample(6, generator=generator(1)).float()
    energy = evidence_energy(points, evidence, TORUS, Signed(Gaussian(), Negated(Gaussian())), "sum")
    costs = Gaussian()(TORUS.distance(points, points))
    torch.testing.assert_close(energy, (costs * evidence).sum(), rtol=1e-4, atol=1e-3)


def test_one_law_reads_the_size_of_evidence():
    evidence, points = torch.randn(6, 6, generator=generator(0)), TORUS.sample(6, generator=generator(1)).float()
    for law in (Gaussian(), lambda d: d):
        assert torch.equal(evidence_energy(points, evidence, TORUS, law), moduli_penalty(evidence, points, TORUS, law))


def test_no_gradient_goes_to_the_evidence_and_nothing_of_its_size_is_kept():
    evidence = torch.randn(40, 40, generator=generator(0), requires_grad=True)
    points = TORUS.sample(40, generator=generator(1)).float().requires_grad_()
    value = evidence_energy(points, evidence, TORUS, LAWS["hat"])
    assert max(saved.numel() for saved in value.grad_fn.saved_tensors) < evidence.numel()
    value.backward()
    assert evidence.grad is None
    assert points.grad.any()


def test_narrow_evidence_is_summed_in_float32():
    evidence = torch.randn(30, 30, generator=generator(0)).bfloat16()
    points = TORUS.sample(30, generator=generator(1)).float()
    value = evidence_energy(points, evidence, TORUS, LAWS["hat"])
    assert value.dtype == torch.float32
    torch.testing.assert_close(value, evidence_energy(points, evidence.float(), TORUS, LAWS["hat"]))


def test_the_second_call_has_the_same_bits():
    n = 130
    assert n * n >= kernels.COMPILED_FROM
    evidence = torch.randn(n, n, generator=generator(0))
    points = TORUS.sample(n, generator=generator(1)).float().requires_grad_()
    calls = [slopes(evidence_energy(points, evidence, TORUS, LAWS["hat"]), [points]) for _ in range(2)]
    assert all(torch.equal(one, other) for one, other in zip(*calls, strict=True))


@pytest.mark.parametrize(
    ("changes", "error", "message"),
    [
        ({"matrix": torch.ones(3, 2)}, ValueError, r"source_points must hold 2 points for a matrix \(3, 2\), got 3"),
        ({"matrix": torch.ones(3)}, ValueError, r"matrix must be a matrix \(n, m\)"),
        ({"matrix": torch.ones(3, 3).long()}, TypeError, "matrix must be floating-point"),
        ({"matrix": torch.ones(3, 3).double()}, TypeError, "points must have the matrix's dtype torch.float64"),
        ({"manifold": 2}, TypeError, "manifold must be a Manifold, got int"),
        ({"manifold": PoincareBall(2)}, ValueError, "points"),
        ({"law": 3.0}, TypeError, r"got 3\.0"),
        ({"reduction": "max"}, ValueError, "reduction must be 'mean' or 'sum'"),
    ],
)
def test_bad_arguments_are_named(changes, error, message):
    points = TORUS.sample(3, generator=generator(0)).float()
    arguments = {"points": points, "matrix": torch.ones(3, 3), "manifold": TORUS, "law": LAWS["hat"], **changes}
    with pytest.raises(error, match=message):
        evidence_energy(**arguments)
