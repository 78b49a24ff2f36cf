"""Orders of neurons, what they are worth in empty tiles, and nets that compute the same in another order."""

import copy

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from riemod import Modules, ModuliRegularizer, NeuronEmbedding, controls
from riemod.manifolds import Sphere, Torus, curve_order
from riemod.sparse import block_occupancy, order_neurons, reverse_cuthill_mckee
from tests.strategies import generator, seeds


def test_neurons_are_ordered_by_their_points():
    embedding = NeuronEmbedding(Torus(2), 30, generator=generator(0))
    assert torch.equal(order_neurons(embedding), curve_order(embedding.points, Torus(2)))
    moduli = ModuliRegularizer(nn.GRU(2, 30), Torus(2), points=embedding.points.detach())
    assert torch.equal(order_neurons(moduli), order_neurons(embedding))
    control = ModuliRegularizer(nn.GRU(2, 30), Torus(2), costs=controls.Mean(), points=embedding.points.detach())
    assert torch.equal(order_neurons(control), order_neurons(embedding))


def test_modules_of_neurons_follow_one_another():
    layout = Modules([(Sphere(1), 12), (Torus(2), None)], between=1.0)
    moduli = ModuliRegularizer(nn.RNN(2, 20), layout, generator=generator(0))
    order = order_neurons(moduli)
    assert order[:12].sort().values.tolist() == list(range(12))
    assert torch.equal(order[12:] - 12, order_neurons(moduli.embeddings[1]))


def test_what_has_no_one_order_is_refused():
    with pytest.raises(ValueError, match="embedding must hold one set of neurons, this regularizer holds 2"):
        order_neurons(ModuliRegularizer(nn.RNN(2, 8, num_layers=2), Torus(2)))
    with pytest.raises(TypeError, match="embedding must be a NeuronEmbedding or a ModuliRegularizer, got a RNN"):
        order_neurons(nn.RNN(2, 8))
    embedding = NeuronEmbedding(Torus(2), 3)
    with torch.no_grad():
        embedding.points[1, 0] = float("nan")
    with pytest.raises(ValueError, match="points must be finite"):
        order_neurons(embedding)


def bandwidth(pattern):
    rows, columns = pattern.nonzero().unbind(1)
    return int((rows - columns).abs().max())


@given(st.integers(3, 40), st.integers(1, 4), seeds)
def test_cuthill_mckee_finds_a_hidden_band(n, gates, seed):
    band = torch.diag(torch.ones(n - 1), 1)
    shuffle = torch.randperm(n, generator=generator(seed))
    hidden = band[shuffle][:, shuffle]
    # Each edge in one gate alone: the pattern is that of all gates.
    gate = torch.randint(gates, (n, n), generator=generator(seed))
    weight = torch.cat([hidden * (gate == own) for own in range(gates)])
    order = reverse_cuthill_mckee(weight)
    assert order.sort().values.tolist() == list(range(n))
    assert bandwidth(hidden[order][:, order]) == 1
    assert torch.equal(reverse_cuthill_mckee(weight != 0), order)


def test_cuthill_mckee_takes_square_gates_alone():
    for shape in ((3, 2), (2, 3), (0, 0), (4,)):
        with pytest.raises(ValueError, match=r"weight must have shape \(gates \* n, n\)"):
            reverse_cuthill_mckee(torch.zeros(shape))


@given(st.integers(1, 9), st.integers(1, 9), st.integers(1, 5), st.floats(0, 1), seeds)
def test_occupancy_is_that_of_tiles_counted_one_by_one(n, m, block, density, seed):
    mask = torch.rand(2, n, m, generator=generator(seed)) < density
    tiles = [part.any() for own in mask for rows in own.split(block) for part in rows.split(block, dim=1)]
    expected = sum(map(int, tiles)) / len(tiles)
    assert block_occupancy(mask, block) == expected
    assert block_occupancy(mask * -1e-30, block) == expected


def test_bad_tiles_are_refused():
    mask = torch.ones(3, 3)
    with pytest.raises(ValueError, match=r"block must be an integer >= 1, got 2\.0"):
        block_occupancy(mask, 2.0)
    with pytest.raises(ValueError, match="block must be an integer >= 1, got 0"):
        block_occupancy(mask, 0)
    with pytest.raises(ValueError, match="weight must have rows and columns"):
        block_occupancy(torch.ones(3), 2)


def test_neurons_that_are_near_share_tiles():
    embedding = NeuronEmbedding(Torus(2), 256, generator=generator(0))
    mask, order = embedding.distances() < 0.7, order_neurons(embedding)
    shuffle = torch.randperm(256, generator=generator(1))
    for block, share in ((16, 0.4), (32, 0.7)):
        assert block_occupancy(mask[shuffle][:, shuffle], block) > 0.95
        assert block_occupancy(mask[order][:, order], block) < share
    band = reverse_cuthill_mckee(mask)
    assert block_occupancy(mask[band][:, band], 16) < 0.5


def test_ordering_leaves_the_embedding_as_it_was():
    embedding = NeuronEmbedding(Torus(2), 9, generator=generator(0))
    before = copy.deepcopy(embedding.state_dict())
    order_neurons(embedding)
    assert torch.equal(embedding.points, before["points"])
