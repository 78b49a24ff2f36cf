"""Masks from geometry: exact counts, the cheapest pairs, draws of the right law, and an input and output for each."""

import itertools
import math
from collections.abc import Callable

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

import riemod
from riemod import ModuliRegularizer, NeuronEmbedding, geometric_mask
from riemod.initialization import sparsity_aware
from riemod.manifolds import Euclidean, Sphere, Torus
from riemod.masks import apply_masks
from riemod.optim import riemannian_adam
from riemod.pruning import geometric_prior
from riemod.regularization import Modules
from riemod.regularization.controls import Mean, Shuffled
from riemod.regularization.inhibitors import DifferenceOfGaussians, Diffusion, Gaussian, Inhibitor
from tests.regularization.formulas import limit_tiles
from tests.regularization.nets import build, train
from tests.strategies import atomic_manifolds, generator, seeds

sizes = st.integers(min_value=1, max_value=12)
sparsities = st.floats(min_value=0, max_value=1)
temperatures = st.sampled_from([0.0, 1e-3, 5.0, 80.0, math.inf])
law = DifferenceOfGaussians()


def embedded(
    n: int, seed: int = 0, manifold: Torus | None = None, dtype: torch.dtype = torch.float32
) -> NeuronEmbedding:
    return NeuronEmbedding(manifold or Torus(2), n, learn=False, generator=generator(seed), dtype=dtype)


def by_sorting(costs: Tensor, kept: int, recurrent: bool = True) -> Tensor:
    """The cheapest pairs, each neuron's cheapest input and output before all others, from the definition."""
    n, m = costs.shape
    cost = {pair: costs[pair].item() for pair in itertools.product(range(n), range(m))}
    usable = [pair for pair in cost if not (recurrent and pair[0] == pair[1]) and cost[pair] < math.inf]
    first: set[tuple[int, int]] = set()
    if kept >= n + m:
        for j in range(n):
            first |= {min(((cost[pair], pair) for pair in usable if pair[0] == j), default=(0, (-1, -1)))[1]}
        for k in range(m):
            if all(pair[1] != k for pair in first):
                first |= {min(((cost[pair], pair) for pair in usable if pair[1] == k), default=(0, (-1, -1)))[1]}
    ranked = sorted(cost, key=lambda pair: (pair not in first, cost[pair], pair))
    mask = torch.zeros(n, m, dtype=torch.bool)
    for pair in ranked[:kept]:
        mask[pair] = True
    return mask


@given(st.data(), sizes, sparsities, temperatures, seeds)
def test_exactly_so_many_go_and_everyone_keeps_an_input_and_an_output(
    data: st.DataObject, n: int, sparsity: float, temperature: float, seed: int
):
    manifold = data.draw(atomic_manifolds())
    embedding = NeuronEmbedding(manifold, n, learn=False, generator=generator(seed))
    kept = n * n - round(sparsity * n * n)
    if temperature == 0 and n == 1:
        return
    mask = geometric_mask(embedding, sparsity, law, temperature=temperature, generator=generator(seed))
    assert mask.shape == (n, n)
    assert int(mask.count_nonzero()) == kept
    if kept >= 2 * n > 2:
        others = mask & ~torch.eye(n, dtype=torch.bool)
        assert bool(others.any(0).all() and others.any(1).all())


@given(st.integers(2, 9), sparsities, seeds, st.sampled_from([law, Gaussian(), Diffusion()]), st.booleans())
def test_the_cheapest_are_kept_and_ties_go_by_flat_index(
    n: int, sparsity: float, seed: int, inhibitor: Inhibitor, tied: bool
):
    points = Torus(2).sample(n, generator=generator(seed), dtype=torch.float64)
    if tied:
        points = (points / 5).floor() * 5.0
    points[0] = 0.0
    points[-1] = 1.0
    embedding = NeuronEmbedding(Torus(2), n, learn=False, points=points)
    costs = inhibitor.of_squared_distance(Torus(2).squared_distance(embedding.coordinates(), embedding.coordinates()))
    torch.testing.assert_close(costs, inhibitor(embedding.distances()), atol=1e-8, rtol=1e-8)
    kept = n * n - round(sparsity * n * n)
    assert torch.equal(geometric_mask(embedding, sparsity, inhibitor), by_sorting(costs, kept))


def test_tiles_change_nothing(monkeypatch: pytest.MonkeyPatch):
    embedding, whole = embedded(40), geometric_mask(embedded(40), 0.8)
    limit_tiles(monkeypatch, 64)
    assert torch.equal(geometric_mask(embedding, 0.8), whole)
    rnn = nn.RNN(2, 40)
    assert torch.equal(geometric_mask(ModuliRegularizer(rnn, Torus(2), points=embedding.points), 0.8), whole)


def test_draws_have_the_stated_law():
    embedding = NeuronEmbedding(
        Euclidean(1, side=10), 2, learn=False, points=torch.tensor([[0.0], [1.0]], dtype=torch.float64)
    )
    inhibitor: Callable[[Tensor], Tensor] = lambda d: 3 + d  # noqa: E731
    rate = torch.exp(-torch.tensor([3.0, 4.0, 4.0, 3.0], dtype=torch.float64) / 0.7)
    rate /= rate.sum()
    # Two of four, one after the other: the first is i with rate_i, the next j with rate_j / (1 - rate_i).
    expected = torch.zeros(4, dtype=torch.float64)
    for i, j in itertools.permutations(range(4), 2):
        probability = rate[i] * rate[j] / (1 - rate[i])
        expected[i] += probability
        expected[j] += probability
    draws, count = generator(0), 800
    found = torch.zeros(2, 2)
    for _ in range(count):
        found += geometric_mask(embedding, 0.5, inhibitor, temperature=0.7, generator=draws)
    error = (found.flatten() / count - expected).abs() / (expected * (1 - expected) / count).sqrt()
    assert float(error.max()) < 4


def test_cold_draws_are_the_cheapest_and_hot_ones_know_no_cost():
    embedding = embedded(30)
    cheapest = geometric_mask(embedding, 0.9)
    assert torch.equal(geometric_mask(embedding, 0.9, temperature=1e-6, generator=generator(0)), cheapest)
    hot = [geometric_mask(embedding, 0.9, f, temperature=math.inf, generator=generator(1)) for f in (law, Gaussian())]
    assert torch.equal(*hot)
    assert not torch.equal(hot[0], cheapest)
    warm = [geometric_mask(embedding, 0.9, temperature=10.0, generator=generator(seed)) for seed in (1, 1, 2)]
    assert torch.equal(warm[0], warm[1])
    assert not torch.equal(warm[0], warm[2])
    cost = [law(embedding.distances())[mask].mean() for mask in (cheapest, warm[0], hot[0])]
    assert cost[0] < cost[1] < cost[2]


def test_a_regularizer_brings_its_own_costs():
    rnn = nn.GRU(2, 20, num_layers=2)
    moduli = ModuliRegularizer(rnn, Torus(2), generator=generator(0))
    for layer in range(2):
        embedding = moduli.layer_embeddings(layer)[0]
        assert torch.equal(geometric_mask(moduli, 0.9, layer=layer), geometric_mask(embedding, 0.9))
    assert not torch.equal(geometric_mask(moduli, 0.9, layer=0), geometric_mask(moduli, 0.9, layer=1))
    control = ModuliRegularizer(rnn, Torus(2), costs=Shuffled(), generator=generator(0))
    assert torch.equal(geometric_mask(control, 0.9), by_sorting(control.coefficients(), 400 - 360))
    cells = Modules([(Torus(2), 8), (Sphere(2), None)], between=1e3)
    modular = ModuliRegularizer(nn.RNN(2, 20), cells, generator=generator(0))
    mask = geometric_mask(modular, 0.9)
    assert not mask[:8, 8:].any()
    assert not mask[8:, :8].any()


def test_two_sets_of_neurons_have_no_diagonal():
    moduli = ModuliRegularizer(nn.Linear(7, 5), Torus(2), generator=generator(0))
    for kept in (11, 12, 20):
        mask = geometric_mask(moduli, 1 - kept / 35)
        assert torch.equal(mask, by_sorting(moduli.coefficients(), kept, recurrent=False))
    assert bool(geometric_mask(moduli, 1 - 12 / 35).any(0).all())


def test_what_cannot_be_a_mask_is_refused():
    embedding, moduli = embedded(6), ModuliRegularizer(nn.RNN(2, 6), Torus(2))
    with pytest.raises(ValueError, match=r"sparsity.*got 1\.5"):
        geometric_mask(embedding, 1.5)
    with pytest.raises(ValueError, match=r"temperature must be a number >= 0.*got -1"):
        geometric_mask(embedding, 0.5, temperature=-1)
    with pytest.raises(ValueError, match=r"temperature must be a number >= 0.*got nan"):
        geometric_mask(embedding, 0.5, temperature=math.nan)
    with pytest.raises(ValueError, match=r"temperature must be a number >= 0.*got 'hot'"):
        geometric_mask(embedding, 0.5, temperature="hot")
    with pytest.raises(TypeError, match="geometry must be a NeuronEmbedding or a ModuliRegularizer, got Torus"):
        geometric_mask(Torus(2), 0.5)
    with pytest.raises(ValueError, match="inhibitor must be None for a regularizer"):
        geometric_mask(moduli, 0.5, law)
    with pytest.raises(ValueError, match=r"layer must be an integer from 0 to 0, got 1"):
        geometric_mask(moduli, 0.5, layer=1)
    negative: Callable[[Tensor], Tensor] = lambda d: torch.where(d <= 20, d, -d)  # noqa: E731
    far = NeuronEmbedding(Euclidean(1, side=100), 2, points=torch.tensor([[0.0], [50.0]]))
    with pytest.raises(ValueError, match="costs >= 0"):
        geometric_mask(far, 0.5, negative)
    walls: Callable[[Tensor], Tensor] = lambda d: torch.where(d <= 20, d, math.inf)  # noqa: E731
    with pytest.raises(ValueError, match=r"no more pairs than have a finite cost, 2, got 0\.25, which keeps 3"):
        geometric_mask(far, 0.25, walls)
    assert (
        geometric_mask(far, 0.5, walls, temperature=5.0, generator=generator(0)).tolist()
        == torch.eye(2).bool().tolist()
    )
    with pytest.raises(ValueError, match="temperature must be above 0 for costs that are all the same"):
        geometric_mask(ModuliRegularizer(nn.RNN(2, 6), Torus(2), costs=Mean()), 0.5)


@given(st.lists(st.floats(0, 200), min_size=1, max_size=8), st.floats(0.5, 1e3))
def test_the_prior_is_one_at_the_cheapest_and_falls_by_e_a_temperature(costs: list[float], temperature: float):
    prior = geometric_prior(torch.tensor([costs], dtype=torch.float64), temperature)
    expected = [math.exp(-(cost - min(costs)) / temperature) for cost in costs]
    assert prior[0].tolist() == pytest.approx(expected, rel=1e-9)
    assert prior.max() == 1


def test_the_prior_of_infinite_costs_is_zero():
    costs = torch.tensor([[1.0, math.inf]])
    assert geometric_prior(costs, math.inf).tolist() == [[1.0, 0.0]]
    with pytest.raises(ValueError, match="finite for at least one pair"):
        geometric_prior(costs[:, 1:], 1.0)
    with pytest.raises(ValueError, match="temperature must be above 0"):
        geometric_prior(costs, 0.0)


@pytest.mark.parametrize("temperature", [0.0, 10.0, math.inf])
def test_a_net_learns_on_a_mask_from_the_start(temperature: float):
    net, moduli = build(learn=False)
    mask = geometric_mask(moduli, 0.7, temperature=temperature, generator=generator(3))
    apply_masks(net, {"rnn.weight_hh_l0": mask})
    sparsity_aware(net, generator=generator(4))
    weight = net.rnn.weight_hh_l0
    assert torch.equal(weight != 0, mask)
    losses = train(net, moduli, riemannian_adam(net, moduli, lr=1e-2, weight_decay=0.1), 150)
    assert sum(losses[-10:]) < 0.5 * sum(losses[:10])
    assert torch.equal(weight != 0, mask)
    assert bool((weight.detach()[~mask].view(torch.int32) == 0).all())


def test_the_mask_of_a_part_of_a_parameter_is_that_of_its_columns():
    cell = nn.Linear(2 + 12, 2 * 12)
    part = riemod.recurrent(cell, "weight", columns=slice(2, None))
    moduli = ModuliRegularizer(part, Torus(2), generator=generator(0))
    mask = geometric_mask(moduli, 0.8)
    assert mask.shape == (12, 12)
    assert torch.equal(mask, geometric_mask(moduli.layer_embeddings(0)[0], 0.8))
    whole = torch.ones(24, 14, dtype=torch.bool)
    whole[:, 2:] = mask.repeat(2, 1)
    apply_masks(cell, {"weight": whole})
    assert torch.equal(moduli.weights[0].tensor != 0, mask.repeat(2, 1))
    assert bool((cell.weight[:, :2] != 0).all())
