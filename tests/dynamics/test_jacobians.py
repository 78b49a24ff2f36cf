"""Jacobians against closed forms and differences, and exponents of systems whose answer is known."""

import math

import pytest
import torch
from hypothesis import given, settings
from torch import nn

from riemod.dynamics.jacobians import jacobian_spectra, jacobians, lyapunov_exponents
from riemod.dynamics.recurrent_map import recurrent_map
from tests.dynamics.test_recurrent_map import LAYERS, next_state, normal
from tests.strategies import seeds


def orthogonal(size, seed):
    return torch.linalg.qr(normal(size, size, seed=seed)).Q


@pytest.mark.parametrize("kind", LAYERS)
def test_jacobians_are_difference_quotients(kind):
    layer = LAYERS[kind]().double()
    size = 10 if kind == "lstm" else 5
    states, inputs = normal(4, size), normal(4, 3, seed=1)
    found = jacobians(recurrent_map(layer), states, inputs)
    assert found.shape == (4, size, size)
    assert not found.requires_grad
    step = 1e-6
    with torch.no_grad():
        for t in range(4):
            for k in range(size):
                nudge = step * torch.eye(size, dtype=torch.float64)[k]
                ahead, behind = (next_state(layer, states[t] + s * nudge, inputs[t]) for s in (1, -1))
                torch.testing.assert_close(found[t, :, k], (ahead - behind) / (2 * step), rtol=1e-6, atol=1e-8)


def test_the_jacobian_of_a_relu_layer_has_the_rows_of_its_active_units():
    layer = nn.RNN(3, 5, nonlinearity="relu")
    states, inputs = normal(6, 5), normal(6, 3, seed=1)
    active = recurrent_map(layer)(states, inputs) > 0
    expected = active[:, :, None] * layer.weight_hh_l0.detach().double()
    torch.testing.assert_close(jacobians(recurrent_map(layer), states, inputs), expected)


@given(seed=seeds)
def test_spectra_of_rotations_and_of_what_is_not_normal(seed):
    rotation = 0.5 * orthogonal(4, seed)
    spectra = jacobian_spectra(torch.stack((rotation, torch.diag(torch.ones(3).double(), 1))))
    torch.testing.assert_close(spectra.eigenvalues[0].abs(), torch.full((4,), 0.5).double())
    torch.testing.assert_close(spectra.singular_values[0], torch.full((4,), 0.5).double())
    assert spectra.eigenvalues[1].abs().max() < 1e-3
    torch.testing.assert_close(spectra.singular_values[1], torch.tensor([1.0, 1.0, 1.0, 0.0]).double())
    other = jacobian_spectra(normal(3, 6, 6, seed=seed)).eigenvalues.abs()
    assert (other.diff(dim=-1) <= 1e-12).all()


@settings(max_examples=5)
@given(seed=seeds)
def test_exponents_of_a_constant_map_are_logarithms_of_its_eigenvalues(seed):
    values = torch.tensor([2.0, 1.0, 0.5, 0.1]).double()
    basis = orthogonal(4, seed) + 0.1 * normal(4, 4, seed=seed + 1)
    matrix = basis @ torch.diag(values) @ torch.linalg.inv(basis)
    found = lyapunov_exponents(matrix.expand(4000, 4, 4))
    torch.testing.assert_close(found, values.log(), rtol=0, atol=5e-3)


@settings(max_examples=5)
@given(seed=seeds)
def test_exponents_sum_to_the_growth_of_volume_and_the_first_is_that_of_lengths(seed):
    matrices = normal(300, 3, 3, seed=seed)
    found = lyapunov_exponents(matrices)
    torch.testing.assert_close(found.sum(), torch.linalg.slogdet(matrices).logabsdet.mean())
    vector, growth = normal(3, seed=seed + 1), 0.0
    for matrix in matrices:
        vector = matrix @ vector
        growth += vector.norm().log().item()
        vector = vector / vector.norm()
    assert found[0].item() == pytest.approx(growth / 300, abs=0.05)


def test_rotations_neither_grow_nor_shrink_and_what_is_destroyed_is_minus_infinity():
    turns = torch.stack([orthogonal(3, seed) for seed in range(10)])
    torch.testing.assert_close(lyapunov_exponents(turns), torch.zeros(3).double(), rtol=0, atol=1e-12)
    halved = lyapunov_exponents(torch.diag(torch.tensor([0.5, 0.0])).expand(5, 2, 2))
    assert halved.tolist() == [math.log(0.5), -math.inf]


def test_bad_arguments_are_refused():
    step = recurrent_map(nn.RNN(3, 5))
    states, inputs = normal(4, 5), normal(4, 3)
    with pytest.raises(ValueError, match="inputs must be as many as states, 4, got 3"):
        jacobians(step, states, inputs[:3])
    with pytest.raises(ValueError, match="states must be finite"):
        jacobians(step, states * torch.nan, inputs)
    with pytest.raises(TypeError, match="states must be a floating-point tensor"):
        jacobians(step, states.long(), inputs)
    with pytest.raises(ValueError, match="step must take states of size 5 and inputs of size 2, got"):
        jacobians(step, states, inputs[:, :2])
    with pytest.raises(ValueError, match="step must return a state of size 5, got"):
        jacobians(lambda h, u: h[:2], states, inputs)
    with pytest.raises(ValueError, match="matrices must be square"):
        jacobian_spectra(normal(2, 3))
    with pytest.raises(ValueError, match="matrices must be finite"):
        lyapunov_exponents(torch.full((1, 2, 2), torch.inf))
    with pytest.raises(ValueError, match=r"matrices must have the shape \(t, s, s\)"):
        lyapunov_exponents(normal(3, 3))
