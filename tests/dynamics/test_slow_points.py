"""Fixed and slow points of systems where they are known."""

import pytest
import torch
from torch import nn

from riemod.dynamics.recurrent_map import recurrent_map
from riemod.dynamics.slow_points import slow_points
from tests.strategies import generator

ROOT = 0.9575040240772687  # of h = tanh(2 h)
U = torch.zeros(1)
QUICK = {"steps": 800, "learning_rate": 0.05}


def normal(*shape, seed=0):
    return torch.randn(*shape, generator=generator(seed), dtype=torch.float64)


@pytest.mark.parametrize("seed", range(3))
def test_a_contraction_has_the_fixed_point_of_linear_algebra(seed):
    matrix = 0.6 * torch.linalg.qr(normal(3, 3, seed=seed)).Q
    u = normal(3, seed=seed + 1) / 2
    found = slow_points(lambda h, v: h @ matrix.T + v, normal(5, 3, seed=seed + 2), u, **QUICK)
    exact = torch.linalg.solve(torch.eye(3).double() - matrix, u)
    assert found.starts.tolist() == [5]
    torch.testing.assert_close(found.states[0], exact, rtol=0, atol=1e-3)
    assert found.speeds[0] < 1e-6
    expected = torch.linalg.eigvals(matrix).abs().sort(descending=True).values
    torch.testing.assert_close(found.eigenvalues[0].abs(), expected)
    assert found.unstable.tolist() == [int((expected > 1).sum())]


def test_two_bistable_units_have_nodes_saddles_and_a_repeller():
    layer = nn.RNN(1, 2, bias=False)
    with torch.no_grad():
        layer.weight_hh_l0.copy_(2 * torch.eye(2))
    grid = torch.linspace(-1.2, 1.2, 9)
    starts = torch.cartesian_prod(grid, grid)
    found = slow_points(recurrent_map(layer), starts, U, tolerance=1e-10, **QUICK)
    by_kind = {kind: found.states[found.unstable == kind].abs().sort(dim=1).values for kind in (0, 1, 2)}
    assert [len(by_kind[kind]) for kind in (0, 1, 2)] == [4, 4, 1]
    torch.testing.assert_close(by_kind[0], torch.full((4, 2), ROOT).double(), rtol=0, atol=1e-4)
    torch.testing.assert_close(by_kind[1], torch.tensor([[0, ROOT]]).double().expand(4, 2), rtol=0, atol=1e-4)
    torch.testing.assert_close(by_kind[2], torch.zeros(1, 2).double(), rtol=0, atol=1e-4)
    # tanh'(2 h) 2 = 2 (1 - h^2) at a fixed point.
    slopes = found.eigenvalues.real[found.unstable == 1]
    torch.testing.assert_close(slopes, torch.tensor([[2, 2 * (1 - ROOT**2)]]).double().expand(4, 2), rtol=0, atol=1e-3)
    assert found.starts.sum() <= 81
    assert (found.speeds.diff() >= 0).all()


def test_a_line_of_fixed_points_stays_a_line():
    layer = nn.RNN(1, 2, nonlinearity="relu", bias=False)
    with torch.no_grad():
        layer.weight_hh_l0.copy_(torch.full((2, 2), 0.5))
    found = slow_points(recurrent_map(layer), 1 + torch.rand(30, 2, generator=generator(0)), U, merge=0.05, **QUICK)
    assert len(found.states) > 5
    torch.testing.assert_close(found.states[:, 0], found.states[:, 1], rtol=0, atol=3e-3)
    torch.testing.assert_close(
        found.eigenvalues.real, torch.tensor([[1.0, 0.0]]).double().expand(len(found.states), 2), rtol=0, atol=1e-9
    )


def test_a_slow_point_is_no_fixed_point():
    def past_a_saddle_node(h, u):
        return h + 0.5 * h.square() + 0.02

    found = slow_points(past_a_saddle_node, torch.linspace(-0.9, 1, 5)[:, None], U, tolerance=3e-4, merge=0.2, **QUICK)
    assert found.starts.tolist() == [5]
    assert found.states.item() == pytest.approx(0.0, abs=0.03)
    assert found.speeds.item() == pytest.approx(2e-4, rel=0.05)
    assert len(slow_points(past_a_saddle_node, torch.zeros(1, 1), U, tolerance=1e-10, **QUICK).states) == 0


def test_a_map_without_slow_points_has_none():
    found = slow_points(lambda h, u: h + 1, normal(4, 3), U, steps=10)
    assert found.states.shape == found.eigenvalues.shape == (0, 3)
    assert found.speeds.shape == found.unstable.shape == found.starts.shape == (0,)


def test_the_net_is_left_as_it_was():
    layer = nn.GRU(1, 4)
    before = {name: value.clone() for name, value in layer.state_dict().items()}
    starts = normal(3, 4)
    kept = starts.clone()
    with torch.no_grad():
        found = [slow_points(recurrent_map(layer), starts, U, steps=50, tolerance=1.0) for _ in range(2)]
    assert all(torch.equal(value, before[name]) for name, value in layer.state_dict().items())
    assert all(value.grad is None for value in layer.parameters())
    assert torch.equal(starts, kept)
    assert torch.equal(found[0].states, found[1].states)
    assert not found[0].states.requires_grad


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"states": torch.full((2, 2), torch.nan)}, "states must be finite"),
        ({"states": torch.ones(2, 3)}, "step must take states of size 3"),
        ({"u": torch.ones(2, 1)}, r"u must have the shape \(m,\), got \(2, 1\)"),
        ({"u": torch.full((1,), torch.inf)}, "u must be finite"),
        ({"tolerance": 0.0}, "tolerance must be positive and finite, got 0.0"),
        ({"learning_rate": -1.0}, "learning_rate must be positive"),
        ({"merge": -1.0}, "merge must be finite and >= 0"),
        ({"steps": 0}, "steps must be an integer >= 1, got 0"),
    ],
)
def test_bad_arguments_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        slow_points(recurrent_map(nn.RNN(1, 2)), **{"states": torch.ones(2, 2), "u": U, **arguments})
