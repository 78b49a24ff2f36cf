"""Which parameters a pruner takes by default, and which not."""

import warnings

import pytest
import torch
from torch import nn

from riemod.masks import apply_masks
from riemod.pruning import MagnitudePruner


class WithState(nn.Module):
    def __init__(self, **states: tuple[int, ...]) -> None:
        super().__init__()
        self.rnn = nn.LSTM(3, 5, num_layers=2, bidirectional=True, bias=False)
        self.cell = nn.GRUCell(3, 7, bias=False)
        for name, shape in states.items():
            self.register_parameter(name, nn.Parameter(torch.randn(shape)))


@pytest.mark.parametrize("shape", [(4, 1, 5), (4, 5), (1, 7)])
def test_a_first_state_is_known_by_the_shape_of_the_layer_beside_it(shape: tuple[int, ...]):
    assert "learned" not in MagnitudePruner(WithState(learned=shape)).masks()
    assert "learned" in MagnitudePruner(WithState(learned=(*shape[:-1], 6))).masks()


@pytest.mark.parametrize("name", ["h0", "c_0", "hidden0", "initial_state", "init_hidden", "state_init"])
def test_a_first_state_is_known_by_its_name(name: str):
    net = WithState(**{name: (2, 6)})
    assert name not in MagnitudePruner(net).masks()
    # By name it is a target.
    assert list(MagnitudePruner(net, targets=[name]).masks()) == [name]


@pytest.mark.parametrize("name", ["h", "weight_h0_more", "hidden", "state_weight", "initial"])
def test_other_names_are_weights(name: str):
    assert name in MagnitudePruner(WithState(**{name: (2, 6)})).masks()


def test_frozen_weights_are_left_out_unless_they_have_a_mask():
    net = nn.Sequential(nn.Linear(3, 4), nn.Linear(4, 5), nn.Linear(5, 2))
    apply_masks(net, {"1.weight": torch.rand(5, 4) > 0.5})
    for layer in net[:2]:
        layer.requires_grad_(False)
    assert list(MagnitudePruner(net).masks()) == ["1.weight", "2.weight"]
    assert list(MagnitudePruner(net, targets=["0.weight"]).masks()) == ["0.weight"]


def test_lengths_of_weight_norm_and_gains_are_left_out():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        normed = torch.nn.utils.weight_norm(nn.Linear(3, 4))
    net = nn.Sequential(normed, nn.LayerNorm((2, 4)))
    assert list(MagnitudePruner(net).masks()) == ["0.weight_v"]
