"""The controls: what each shares with the geometric arm, exactly, and what it has lost."""

import copy
from typing import Any, get_args

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from riemod import ModuliRegularizer, lottery_ticket
from riemod.manifolds import Sphere, Torus
from riemod.pruning import MagnitudePruner
from riemod.regularization import Modules, controls, inhibitors, proximal_step
from riemod.regularization.controls import ARMS, Mean, Redrawn, Shuffled, Zero
from riemod.regularization.costs import Costs, Geometric, Terms
from riemod.regularization.inhibitors import Inhibitor
from riemod.tasks.config import ArmName
from tests.regularization.formulas import EVERY, MANIFOLDS
from tests.strategies import generator, seeds

CONTROLS = [name for name in ARMS if name != "moduli"]
SPACES: dict[str, Any] = MANIFOLDS | {"modules": lambda: Modules([(Torus(2), 4), (Sphere(2), None)], between=7.0)}


def layer(kind: str = "rnn") -> nn.Module:
    return {"rnn": nn.RNN, "gru": nn.GRU, "lstm": nn.LSTM}[kind](2, 9, num_layers=2, dtype=torch.float64)


def arms(name: str, kind: str = "rnn", space: str = "torus", seed: int = 0, **options: Any) -> tuple[Any, Any]:
    """The geometric arm and a control of it, on one layer."""
    module = layer(kind)
    moduli = ModuliRegularizer(module, SPACES[space](), generator=generator(seed), **options)
    return moduli, ModuliRegularizer(
        module, SPACES[space](), costs=controls.by_name(name), generator=generator(seed), **options
    )


@pytest.mark.parametrize("name", ARMS)
def test_arms_are_swapped_by_name(name: str):
    assert type(controls.by_name(name)) is ARMS[name]
    moduli, control = arms(name)
    assert torch.equal(control.embeddings[1].points, moduli.embeddings[1].points)
    assert control.coefficients().shape == (9, 9)
    assert torch.equal(control.coefficients(1, 2, 5), control.coefficients(1)[2:5])


def test_names():
    assert tuple(ARMS) == get_args(ArmName)
    with pytest.raises(ValueError, match=r"arm must be 'moduli', 'none', 'matched_l1', .*, got 'l2'"):
        controls.by_name("l2")


@pytest.mark.parametrize("space", SPACES)
@pytest.mark.parametrize("kind", ["rnn", "lstm"])
@pytest.mark.parametrize(("reduction", "power"), [("mean", 1), ("sum", 2)])
@pytest.mark.parametrize("name", CONTROLS)
def test_value_and_gradient_are_those_of_the_coefficients(
    name: str, kind: str, space: str, reduction: str, power: float
):
    _, control = arms(name, kind, space, strength=0.3, reduction=reduction, power=power)
    value = control()
    weights = [target.tensor for target in control.weights]
    expected = torch.zeros((), dtype=torch.float64)
    for index, weight in enumerate(weights):
        costs = control.coefficients(index).repeat(weight.shape[0] // 9, 1)
        terms = costs * weight.abs() ** power
        expected = expected + 0.3 * (terms.mean() if reduction == "mean" else terms.sum())
    torch.testing.assert_close(value, expected.detach() if name == "none" else expected)
    if name == "none":
        assert value.item() == 0
        assert not value.requires_grad
        return
    found, wanted = torch.autograd.grad(value, weights), torch.autograd.grad(expected, weights)
    for one, other in zip(found, wanted, strict=True):
        torch.testing.assert_close(one, other)


@pytest.mark.parametrize("space", SPACES)
@given(seed=seeds, inhibitor=st.sampled_from(sorted(EVERY)))
def test_matched_means_are_exact(space: str, seed: int, inhibitor: str):
    moduli, control = arms("matched_l1", "gru", space, seed, inhibitor=EVERY[inhibitor])
    for index in (0, 1):
        mean = moduli.coefficients(index).mean()
        assert torch.equal(control.coefficients(index), mean.expand(9, 9))
    with torch.no_grad():
        for target in moduli.weights:
            target.tensor.fill_(-0.5)
    torch.testing.assert_close(control(), moduli())


def test_matched_means_follow_given_points():
    moduli, _ = arms("matched_l1")
    points = [embedding.points + 0.0 for embedding in moduli.embeddings]
    control = ModuliRegularizer(layer(), Torus(2), costs=Mean(), points=points)
    torch.testing.assert_close(control.coefficients(1).mean(), moduli.coefficients(1).mean())


@pytest.mark.parametrize("space", SPACES)
@given(seed=seeds)
def test_a_shuffle_keeps_the_multiset_the_symmetry_and_the_diagonal(space: str, seed: int):
    moduli, control = arms("shuffled", space=space, seed=seed)
    for index in (0, 1):
        before, after = moduli.coefficients(index), control.coefficients(index)
        assert torch.equal(after, after.T)
        assert torch.equal(after.diagonal(), before.diagonal())
        pairs = torch.ones(9, 9, dtype=torch.bool).triu(1)
        assert torch.equal(after[pairs].sort().values, before[pairs].sort().values)
        assert not torch.equal(after, before)
    torch.testing.assert_close(control.coefficients().mean(), moduli.coefficients().mean())


def test_a_shuffle_is_uniform_over_pairs():
    """Of 36 pairs, the dearest lands on each equally often."""
    counts = torch.zeros(9, 9)
    module, points = layer(), [Sphere(2).sample(9, generator=generator(0), dtype=torch.float64)] * 2
    for seed in range(720):
        control = ModuliRegularizer(module, Sphere(2), costs=Shuffled(), points=points, generator=generator(seed))
        costs = control.coefficients().triu(1)
        counts += costs == costs.max()
    hits = counts[torch.ones(9, 9, dtype=torch.bool).triu(1)]
    assert hits.sum() == 720
    # 35 degrees of freedom: 66.6 is the 0.999 quantile.
    assert ((hits - 20) ** 2 / 20).sum() < 66.6


def test_a_shuffle_follows_its_generator():
    first, again, other = (arms("shuffled", seed=seed)[1].coefficients() for seed in (0, 0, 1))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    costs = arms("shuffled")[1]
    costs.coefficients().zero_()
    assert costs.coefficients().sum() > 0


@pytest.mark.parametrize("space", SPACES)
def test_random_geometry_is_redrawn_each_epoch_from_seed_and_epoch_alone(space: str):
    moduli, control = arms("random_geometry", space=space)
    assert torch.equal(control.embeddings[0].points, moduli.embeddings[0].points)
    assert torch.equal(control(), moduli())
    seen = []
    for epoch in (0, 1, 2):
        control.start_epoch(epoch)
        seen.append(torch.cat([embedding.points.detach().flatten() for embedding in control.embeddings]))
        for embedding in control.embeddings:
            embedding.manifold.check_points(embedding.points)
            assert not embedding.points.requires_grad
    assert not torch.equal(seen[0], seen[1])
    assert not torch.equal(seen[1], seen[2])
    _, late = arms("random_geometry", space=space)
    late.start_epoch(2)
    assert torch.equal(torch.cat([embedding.points.detach().flatten() for embedding in late.embeddings]), seen[2])
    _, other = arms("random_geometry", space=space, seed=1)
    other.start_epoch(2)
    assert not torch.equal(other.embeddings[0].points, late.embeddings[0].points)


def test_random_points_are_uniform_again():
    control = ModuliRegularizer(nn.RNN(1, 4000), Torus(2), costs=Redrawn(), generator=generator(0))
    control.start_epoch(5)
    mean = control.points.detach().double().mean(0)
    assert bool(((mean - 5).abs() < 4 * 10 / (12 * 4000) ** 0.5).all())


def test_only_random_geometry_changes_with_the_epoch():
    for name in ("moduli", "none", "matched_l1", "shuffled"):
        _, control = arms(name)
        before = [parameter.clone() for parameter in control.parameters()]
        control.start_epoch(3)
        assert all(torch.equal(one, other) for one, other in zip(before, control.parameters(), strict=True)), name


@pytest.mark.parametrize("name", CONTROLS)
def test_state_survives_copies_and_dicts(name: str):
    _, control = arms(name)
    control.start_epoch(1)
    copied = copy.deepcopy(control)
    assert torch.equal(copied(), control())
    _, other = arms(name, seed=7)
    other.load_state_dict(control.state_dict())
    assert torch.equal(other.coefficients(1), control.coefficients(1))
    other.start_epoch(4)
    control.start_epoch(4)
    assert torch.equal(other.coefficients(1), control.coefficients(1))


@pytest.mark.parametrize("name", ARMS)
def test_a_ticket_keeps_the_arm(name: str):
    model = nn.Sequential(nn.RNN(2, 9))
    control = ModuliRegularizer(model, Torus(2), costs=controls.by_name(name), generator=generator(0))
    pruner = MagnitudePruner(model)
    pruner.prune(0.5)
    ticket = lottery_ticket(model, pruner, control, generator=generator(1))
    assert type(ticket.moduli.costs) is type(control.costs)
    assert ticket.moduli.costs is not control.costs
    assert torch.equal(ticket.moduli.coefficients(), control.coefficients())
    assert ticket.moduli.weights[0].tensor is ticket.model[0].weight_hh_l0


@pytest.mark.parametrize("name", CONTROLS)
def test_a_control_does_not_learn(name: str):
    with pytest.raises(ValueError, match=f"learn must be False for {ARMS[name].__name__}"):
        ModuliRegularizer(layer(), Torus(2), learn=True, costs=controls.by_name(name))


def test_a_cost_object_serves_one_regularizer():
    costs = Shuffled()
    ModuliRegularizer(layer(), Torus(2), costs=costs)
    with pytest.raises(ValueError, match=r"costs must be a fresh Shuffled\(\), got one that another regularizer holds"):
        ModuliRegularizer(layer(), Torus(2), costs=costs)


@pytest.mark.parametrize("costs", [Shuffled, "shuffled", 1.0])
def test_what_is_no_cost_object(costs: Any):
    with pytest.raises(TypeError, match=r"costs must be a cost object, such as riemod.controls.Shuffled\(\), got"):
        ModuliRegularizer(layer(), Torus(2), costs=costs)


class Doubled(Costs):
    """A control of a user's own: twice the geometric costs."""

    def __init__(self) -> None:
        super().__init__()
        self._geometric = Geometric()

    def penalty(self, terms: Terms, moving: bool) -> torch.Tensor:
        return 2 * self._geometric.penalty(terms, moving)

    def rows(self, layer: int, first: int, last: int) -> torch.Tensor:
        return 2 * self._geometric.rows(layer, first, last)

    def _prepare(self, inhibitor: Inhibitor, generator: torch.Generator | None) -> None:
        self._geometric.bind(self._connections, inhibitor)


def test_a_new_control_is_one_class():
    module = layer()
    one, two = (ModuliRegularizer(module, Torus(2), costs=own, generator=generator(0)) for own in (None, Doubled()))
    torch.testing.assert_close(two(), 2 * one())
    torch.testing.assert_close(two.coefficients(1), 2 * one.coefficients(1))
    assert proximal_step(two, 1e-3) > 0


@pytest.mark.parametrize("epoch", [-1, 1.0, True, None])
def test_epochs_are_counted_from_0(epoch: Any):
    _, control = arms("random_geometry")
    with pytest.raises(ValueError, match="epoch must be an integer >= 0"):
        control.start_epoch(epoch)


def test_no_penalty_is_nothing_to_any_step():
    model = nn.RNN(2, 9)
    control = ModuliRegularizer(model, Torus(2), strength=5.0, costs=Zero())
    loss = model(torch.ones(3, 1, 2))[0].sum()
    plain = torch.autograd.grad(loss, model.weight_hh_l0, retain_graph=True)[0]
    assert torch.equal(torch.autograd.grad(loss + control(), model.weight_hh_l0)[0], plain)


@pytest.mark.parametrize("name", CONTROLS)
def test_weights_between_two_sets_of_neurons_are_refused(name: str):
    with pytest.raises(ValueError, match=f"module must hold recurrent weights alone for {ARMS[name].__name__}"):
        ModuliRegularizer(nn.Linear(6, 4), Torus(2), costs=controls.by_name(name))


@pytest.mark.parametrize("kind", ["rnn", "gru"])
def test_plain_l1_costs_1_whatever_the_manifold_and_law(kind: str):
    moduli, control = arms("l1", kind, strength=2.5, inhibitor=inhibitors.Ricker())
    assert torch.equal(control.coefficients(), torch.ones(9, 9, dtype=torch.float64))
    weights = [target.tensor for target in control.weights]
    expected = 2.5 * sum(weight.abs().mean() for weight in weights)
    torch.testing.assert_close(control(), expected)
    assert not torch.isclose(moduli(), expected)


def test_entries_that_are_shuffled_keep_their_costs_and_nothing_else():
    moduli, control = arms("shuffled_entries")
    own, shuffled = moduli.coefficients(), control.coefficients()
    torch.testing.assert_close(shuffled.flatten().sort().values, own.flatten().sort().values)
    assert not torch.equal(shuffled, shuffled.T)
    assert not torch.equal(shuffled.diagonal(), own.diagonal())
    again = arms("shuffled_entries")[1].coefficients()
    assert torch.equal(shuffled, again)
    assert not torch.equal(shuffled, arms("shuffled_entries", seed=1)[1].coefficients())


def test_both_costs_of_an_entry_move_together_under_a_signed_law():
    moduli, control = arms("shuffled_entries", inhibitor=inhibitors.Signed.mexican_hat(Torus(2)))
    own, shuffled = (
        torch.stack([costs.coefficients(sign=sign).flatten() for sign in (1, -1)], 1) for costs in (moduli, control)
    )
    # 1 - k and 1 + k of a pair, which stay together when pairs are shuffled.
    torch.testing.assert_close(shuffled.sum(1), torch.full_like(shuffled[:, 0], 2.0))
    torch.testing.assert_close(shuffled[:, 0].sort().values, own[:, 0].sort().values)
