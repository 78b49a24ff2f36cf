"""Jacobians against closed forms and differences, exponents and ranks of systems whose answer is known."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from riemod.dynamics.jacobians import jacobian_spectra, jacobians, lyapunov_exponents
from riemod.dynamics.ranks import effective_rank, participation_ratio
from riemod.dynamics.recurrent_map import recurrent_map
from tests.strategies import generator, seeds

LAYERS = {
    "relu": lambda: nn.RNN(3, 5, nonlinearity="relu"),
    "relu without bias": lambda: nn.RNN(3, 5, nonlinearity="relu", bias=False),
    "tanh": lambda: nn.RNN(3, 5),
    "gru": lambda: nn.GRU(3, 5),
    "gru without bias": lambda: nn.GRU(3, 5, bias=False),
    "lstm": lambda: nn.LSTM(3, 5),
}


def normal(*shape, seed=0):
    return torch.randn(*shape, generator=generator(seed), dtype=torch.float64)


def orthogonal(size, seed):
    return torch.linalg.qr(normal(size, size, seed=seed)).Q


def next_state(layer, state, u):
    """One step of torch's own layer."""
    if isinstance(layer, nn.LSTM):
        h, c = (part.reshape(1, 1, -1) for part in state.chunk(2))
        return torch.cat([part.flatten() for part in layer(u.reshape(1, 1, -1), (h, c))[1]])
    return layer(u.reshape(1, 1, -1), state.reshape(1, 1, -1))[1].flatten()


@pytest.mark.parametrize("kind", LAYERS)
@settings(max_examples=5)
@given(seed=seeds)
def test_the_map_is_torch_s_layer(kind, seed):
    torch.manual_seed(seed)
    layer = LAYERS[kind]().double()
    state, u = normal(10 if kind == "lstm" else 5, seed=seed), normal(3, seed=seed + 1)
    torch.testing.assert_close(recurrent_map(layer)(state, u), next_state(layer, state, u), rtol=1e-12, atol=1e-12)


def test_the_map_of_a_stacked_layer_takes_the_state_below():
    layer = nn.GRU(3, 5, num_layers=2).double()
    states, u = normal(2, 5), normal(3, seed=1)
    after = layer(u.reshape(1, 1, 3), states[:, None])[1][:, 0]
    below = recurrent_map(layer)(states[0], u)
    torch.testing.assert_close(below, after[0])
    torch.testing.assert_close(recurrent_map(layer, 1)(states[1], below), after[1])


def test_the_map_keeps_the_weights_of_its_making():
    layer = nn.RNN(1, 2)
    step = recurrent_map(layer)
    before = step(normal(2), normal(1))
    with torch.no_grad():
        layer.weight_hh_l0.zero_()
    torch.testing.assert_close(step(normal(2), normal(1)), before, rtol=0, atol=0)
    assert before.dtype == torch.float64


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


@given(seed=seeds, scale=st.floats(1e-6, 1e6))
def test_ranks_are_their_definitions_whatever_the_scale(seed, scale):
    matrix = normal(5, 8, seed=seed)
    values = torch.linalg.svdvals(matrix)
    share = values / values.sum()
    expected = math.exp(-sum(p * math.log(p) for p in share.tolist()))
    assert effective_rank(scale * matrix).item() == pytest.approx(expected, rel=1e-9)
    ratio = values.square().sum() ** 2 / values.pow(4).sum()
    assert participation_ratio(scale * matrix).item() == pytest.approx(ratio.item(), rel=1e-9)


def test_ranks_of_known_matrices():
    vector = normal(6)
    batch = torch.stack(
        (orthogonal(6, 0), vector[:, None] * vector, torch.diag(torch.tensor([3.0, 1, 0, 0, 0, 0]).double()))
    )
    expected = torch.tensor([6.0, 1.0, math.exp(-(0.75 * math.log(0.75) + 0.25 * math.log(0.25)))]).double()
    torch.testing.assert_close(effective_rank(batch), expected)
    torch.testing.assert_close(participation_ratio(batch), torch.tensor([6.0, 1.0, 100 / 82]).double())


def test_participation_counts_the_dimensions_of_states_that_share_the_variance():
    states = normal(20_000, 3) @ orthogonal(30, 1)[:3]
    assert participation_ratio(states - states.mean(0)).item() == pytest.approx(3.0, rel=0.01)


def test_bad_arguments_are_refused():
    step = recurrent_map(nn.RNN(3, 5))
    states, inputs = normal(4, 5), normal(4, 3)
    with pytest.raises(TypeError, match=r"layer must be an nn.RNN, nn.GRU or nn.LSTM, got Linear"):
        recurrent_map(nn.Linear(2, 2))
    with pytest.raises(ValueError, match="layer must have one direction"):
        recurrent_map(nn.RNN(3, 5, bidirectional=True))
    with pytest.raises(ValueError, match="index must be an integer from 0 to 0, got 1"):
        recurrent_map(nn.RNN(3, 5), 1)
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
    with pytest.raises(ValueError, match="matrix must not be zero"):
        effective_rank(torch.zeros(2, 2))
    with pytest.raises(ValueError, match="matrix must be finite"):
        participation_ratio(torch.full((2, 2), torch.nan))
    with pytest.raises(ValueError, match="matrix must have the shape"):
        effective_rank(torch.zeros(0, 2))
