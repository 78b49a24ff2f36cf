"""Regularizers with a signed law: coefficients, kept costs, learned points, controls, proximal steps and masks."""

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from riemod import ModuliRegularizer, inhibitors, proximal_step
from riemod.manifolds import PoincareBall, Sphere, Torus
from riemod.optim import riemannian_adam
from riemod.pruning import geometric_mask
from riemod.regularization import Modules, NeuronEmbedding, controls
from riemod.regularization.budget import cheap_share
from riemod.regularization.controls import Mean, Redrawn, Shuffled, Zero
from riemod.regularization.costs import Geometric
from riemod.regularization.inhibitors import Custom, Scaled, Signed
from tests.manifolds.oracles import plain_squared_distance
from tests.regularization.formulas import limit_tiles, plain_signed
from tests.strategies import generator

HAT = Signed.mexican_hat(Torus(2))
N = 9


def slopes(value: Tensor, leaves: list[Tensor]) -> tuple[Tensor, ...]:
    return (value.detach(), *torch.autograd.grad(value, leaves, materialize_grads=True))


def regularizer(layer: nn.Module | None = None, manifold: Any = None, **arguments: Any) -> ModuliRegularizer:
    layer = nn.GRU(2, N, dtype=torch.float64) if layer is None else layer
    manifold = Torus(2) if manifold is None else manifold
    return ModuliRegularizer(layer, manifold, **{"inhibitor": HAT, "generator": generator(0), **arguments})


def expected_penalty(moduli: ModuliRegularizer, layer: int = 0) -> Tensor:
    """Compute the penalty of a weight from its coefficients."""
    target = moduli.weights[layer]
    gates = target.tensor.unflatten(0, (-1, target.neurons))
    positive, negative = (moduli.coefficients(layer, sign=sign) for sign in (1, -1))
    terms = positive * gates.clamp_min(0) ** moduli.power + negative * (-gates).clamp_min(0) ** moduli.power
    return moduli.strength * (terms.mean() if moduli.reduction == "mean" else terms.sum())


@pytest.mark.parametrize("arm", ["moduli", "matched_l1", "shuffled", "random_geometry"])
@pytest.mark.parametrize(("reduction", "power"), [("mean", 1), ("sum", 2)])
@pytest.mark.parametrize("space", ["torus", "modules"])
def test_every_arm_charges_its_coefficients(arm, reduction, power, space):
    manifold = Torus(2) if space == "torus" else Modules([(Torus(2), 4), (Sphere(2), None)], between=7.0)
    moduli = regularizer(manifold=manifold, costs=controls.by_name(arm), reduction=reduction, power=power, strength=0.3)
    weight = moduli.weights[0].tensor
    found, expected = slopes(moduli(), [weight]), slopes(expected_penalty(moduli), [weight])
    torch.testing.assert_close(found, expected)
    assert [bool(torch.equal(*pair)) for pair in zip(found, slopes(moduli(), [weight]), strict=True)] == [True, True]


def test_no_penalty_costs_nothing():
    moduli = regularizer(costs=Zero())
    assert moduli().item() == 0
    assert not moduli.coefficients(sign=1).any()


@pytest.mark.parametrize("layer", [nn.RNN(2, N), nn.Linear(7, 5)])
def test_kept_costs_give_what_computed_ones_give_and_count_twice(layer):
    kept, anew = regularizer(layer), regularizer(layer, costs=Geometric(cost_budget=0))
    weight = kept.weights[0].tensor
    first = slopes(kept(), [weight])
    for one, other in zip(first, slopes(kept(), [weight]), strict=True):
        assert torch.equal(one, other)
    assert sum(costs.nbytes for _, costs in kept.costs._cache._kept.values()) == 2 * 4 * weight.numel()
    torch.testing.assert_close(first, slopes(anew(), [weight]))
    small = regularizer(layer, costs=Geometric(cost_budget=2 * 4 * weight.numel() - 1))
    torch.testing.assert_close(first, slopes(small(), [weight]))
    assert not small.costs._cache._kept


def test_a_function_of_the_user_s_is_asked_every_time_inside_any_law():
    scale = {"of": 1.0}

    def law(d: Tensor) -> Tensor:
        return scale["of"] * d

    for inhibitor in (Signed(law, inhibitors.Gaussian()), Signed(inhibitors.Gaussian(), Scaled(Custom(law), 2.0))):
        scale["of"] = 1.0
        moduli = regularizer(inhibitor=inhibitor, manifold=Torus(2))
        before = moduli().item()
        scale["of"] = 2.0
        assert moduli().item() != before
        torch.testing.assert_close(moduli(), expected_penalty(moduli).detach(), check_dtype=False)


def test_learned_points_and_a_learned_curvature_get_the_formula_s_gradient():
    ball = PoincareBall(2, curvature=-0.5, learn_curvature=True, sample_radius=3.0)
    moduli = regularizer(nn.RNN(2, N, dtype=torch.float64), ball, inhibitor=Signed.mexican_hat(ball), learn=True)
    own = moduli.embeddings[0].manifold
    leaves = [moduli.weights[0].tensor, moduli.points, *own.parameters()]
    expected = moduli.strength * plain_signed(leaves[0], moduli.points, own, moduli.inhibitor)
    for one, other in zip(slopes(moduli(), leaves), slopes(expected, leaves), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-6, atol=1e-9)
        assert other.any()


def test_learned_points_follow_the_signs_of_weights():
    """Pairs that excite each other come together and pairs that inhibit each other part; Eq. 6 has no such reading."""
    n, sphere = 24, Sphere(2)
    groups = torch.arange(n) % 2
    layer = nn.RNN(2, n)
    with torch.no_grad():
        layer.weight_hh_l0.copy_(torch.where(groups[:, None] == groups, 1.0, -1.0))
    moduli = regularizer(layer, sphere, inhibitor=Signed.mexican_hat(sphere), learn=True, strength=10.0)
    optimizer = riemannian_adam(layer, moduli, lr=1e-6, embedding_lr=0.1)

    def distances() -> tuple[float, float]:
        found = sphere.distance(moduli.points.detach(), moduli.points.detach())
        return found[groups[:, None] == groups].mean().item(), found[groups[:, None] != groups].mean().item()

    before = distances()
    for _ in range(150):
        optimizer.zero_grad()
        moduli().backward()
        optimizer.step()
    within, between = distances()
    assert within < 0.2 * before[0]
    assert between > 1.5 * before[1]


def test_coefficients_want_a_sign():
    moduli = regularizer()
    for layer_costs, part in zip((moduli.coefficients(sign=1), moduli.coefficients(sign=-1)), HAT.parts, strict=True):
        squared = plain_squared_distance(Torus(2), moduli.points, moduli.points)
        torch.testing.assert_close(layer_costs, part.of_squared_distance(squared))
    assert torch.equal(moduli.coefficients(0, 2, 5, sign=-1), moduli.coefficients(sign=-1)[2:5])
    with pytest.raises(ValueError, match="sign must be 1 or -1 under a law with an inhibitor for each sign, got None"):
        moduli.coefficients()
    with pytest.raises(ValueError, match="sign must be 1, -1 or None, got 2"):
        moduli.coefficients(sign=2)  # pyright: ignore[reportArgumentType]
    eq6 = regularizer(inhibitor=None)
    assert torch.equal(eq6.coefficients(sign=1), eq6.coefficients())


def test_the_matched_mean_is_over_both_signs():
    moduli, control = regularizer(), regularizer(costs=Mean())
    mean = torch.stack([moduli.coefficients(sign=sign) for sign in (1, -1)]).mean()
    torch.testing.assert_close(control.coefficients(), mean.expand(N, N))


def test_the_two_costs_of_a_pair_are_shuffled_together():
    moduli, control = regularizer(), regularizer(costs=Shuffled(), generator=generator(1))
    both = [torch.stack([m.coefficients(sign=sign) for sign in (1, -1)]) for m in (moduli, control)]
    assert not torch.equal(*both)
    torch.testing.assert_close(both[1], both[1].mT)
    torch.testing.assert_close(both[1].sum(0), torch.full((N, N), 2.0, dtype=torch.float64))
    moduli = regularizer(generator=generator(1))
    own = torch.stack([moduli.coefficients(sign=sign) for sign in (1, -1)]).flatten(1)
    torch.testing.assert_close(both[1].flatten(1).sort().values, own.sort().values)
    torch.testing.assert_close(both[1].diagonal(dim1=1, dim2=2), own.view(2, N, N).diagonal(dim1=1, dim2=2))


@pytest.mark.parametrize("costs", [Geometric, Shuffled, Redrawn, Mean])
def test_costs_follow_neurons_to_new_places(costs):
    moduli = regularizer(costs=costs())
    before = expected_penalty(moduli).detach()
    order = torch.randperm(N, generator=generator(3))
    with torch.no_grad():
        gates = moduli.weights[0].tensor.unflatten(0, (-1, N))
        gates.copy_(gates[:, order][:, :, order].clone())
        moduli.points.copy_(moduli.points[order].clone())
    moduli.costs.permute(0, order)
    torch.testing.assert_close(moduli().detach(), before)


@pytest.mark.parametrize("costs", [Geometric, Shuffled, Redrawn, Mean])
def test_a_state_dict_goes_round(costs):
    layer = nn.GRU(2, N, dtype=torch.float64)
    one, other = (regularizer(layer, costs=costs(), generator=generator(seed)) for seed in (0, 1))
    assert one().item() != other().item() or costs is Mean
    other.load_state_dict(one.state_dict())
    assert other().item() == one().item()


def test_the_proximal_step_shrinks_by_the_cost_of_the_own_sign(monkeypatch):
    limit_tiles(monkeypatch, 40)
    layer = nn.GRU(2, N, dtype=torch.float64)
    moduli = regularizer(layer, strength=60.0)
    weight = moduli.weights[0].tensor
    before = weight.detach().clone()
    value = proximal_step(moduli, lr=0.1)
    costs = [moduli.coefficients(sign=sign).repeat(3, 1) for sign in (1, -1)]
    threshold = 0.1 * 60.0 / before.numel() * torch.where(before > 0, *costs)
    torch.testing.assert_close(weight.detach(), before.sign() * torch.relu(before.abs() - threshold))
    assert bool((weight == 0).any())
    assert bool((weight != 0).any())
    torch.testing.assert_close(value, moduli().detach())


def test_a_mask_is_drawn_by_the_cheaper_sign():
    moduli = regularizer(nn.RNN(2, 40))
    embedding: NeuronEmbedding = moduli.layer_embeddings(0)[0]
    cheaper = torch.minimum(moduli.coefficients(sign=1), moduli.coefficients(sign=-1))
    for mask in (geometric_mask(moduli, 0.9), geometric_mask(embedding, 0.9, HAT)):
        assert cheaper[mask].mean() < cheaper[~mask].mean()
        kept = cheaper[mask].sort().values
        # All of the cheapest pairs but those that each neuron needs for an input and an output.
        assert kept[: len(kept) // 2].max() <= cheaper.flatten().sort().values[len(kept) // 2]


def test_a_law_for_each_sign_is_refused_where_a_weight_has_none():
    with pytest.raises(ValueError, match=r"inhibitor must be one law for weight of shape \(4, 3, 5\)"):
        regularizer(nn.Conv1d(3, 4, 5))
    with pytest.raises(TypeError, match="inhibitor must be one law for all weights here, got one for each sign"):
        cheap_share(Torus(2), HAT)  # pyright: ignore[reportArgumentType]
    with pytest.raises(TypeError, match="inhibitor must be an Inhibitor, got Signed"):
        Scaled(HAT, 2.0)  # pyright: ignore[reportArgumentType]
