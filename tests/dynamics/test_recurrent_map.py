"""Steps of recurrent layers against torch's own."""

import pytest
import torch
from hypothesis import given, settings
from torch import nn

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


def test_other_layers_are_refused():
    with pytest.raises(TypeError, match=r"layer must be an nn.RNN, nn.GRU or nn.LSTM, got Linear"):
        recurrent_map(nn.Linear(2, 2))
    with pytest.raises(ValueError, match="layer must have one direction"):
        recurrent_map(nn.RNN(3, 5, bidirectional=True))
    with pytest.raises(ValueError, match="index must be an integer from 0 to 0, got 1"):
        recurrent_map(nn.RNN(3, 5), 1)
