"""What tests of block pruning share: a net with a recurrent layer, and its tiles."""

import pytest
import torch
from torch import nn

# Tiny tensors are emptied, pruned down to their floor, or half 0, where a test is about something else.
small = pytest.mark.filterwarnings("ignore:.* (is empty|keeps \\d+ of|has no mask):UserWarning")


class Net(nn.Module):
    def __init__(self, kind=nn.LSTM, n=12):
        super().__init__()
        self.encoder = nn.Linear(5, 4)
        self.rnn = kind(4, n)
        self.decoder = nn.Linear(n, 3)


def tiles(matrix, block, gates=1):
    """Every tile of every gate, cut out one by one."""
    return [part for gate in matrix.chunk(gates) for rows in gate.split(block) for part in rows.split(block, dim=1)]


def is_whole(mask, block, gates=1, order=None):
    if order is not None:
        mask = mask.unflatten(0, (gates, -1))[:, order][:, :, order].flatten(0, 1)
    return all(bool(tile.all() == tile.any()) for tile in tiles(mask, block, gates))


def state(model):
    return {name: value.clone() for name, value in model.state_dict().items()}


def same(first, second):
    return first.keys() == second.keys() and all(torch.equal(first[name], second[name]) for name in first)
