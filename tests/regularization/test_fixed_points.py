"""Points that do not move in a call: costs that are kept, and learned points that get a gradient every k-th call."""

import copy
import pickle

import pytest
import torch
from torch import Tensor, nn

from riemod import ModuliRegularizer
from riemod.manifolds import KleinBottle, PoincareBall, Sphere, Torus
from riemod.optim import riemannian_adam
from riemod.regularization import Modules
from riemod.regularization import costs as costs_module
from riemod.regularization.controls import Redrawn
from riemod.regularization.costs import Geometric
from riemod.regularization.inhibitors import Gaussian, Ricker
from tests.regularization.formulas import limit_tiles
from tests.strategies import generator

N = 12


def regularizer(layer: nn.Module | None = None, manifold=None, **arguments) -> ModuliRegularizer:
    layer = nn.RNN(2, N) if layer is None else layer
    manifold = Torus(2) if manifold is None else manifold
    return ModuliRegularizer(layer, manifold, **{"strength": 2.0, "generator": generator(0), **arguments})


def bytes_kept(moduli: ModuliRegularizer) -> int:
    return sum(costs.nbytes for _, costs in moduli.costs._cache._kept.values())


def slopes(moduli: ModuliRegularizer) -> tuple[Tensor, ...]:
    value = moduli()
    return (value.detach(), *torch.autograd.grad(value, [target.tensor for target in moduli.weights]))


@pytest.fixture
def made(monkeypatch) -> list[tuple[int, int]]:
    """The sizes of the cost matrices that were computed, in order."""
    sizes = []
    original = costs_module.costs_of_coordinates

    def counting(rows, columns, *law):
        sizes.append((len(rows), len(columns)))
        return original(rows, columns, *law)

    monkeypatch.setattr(costs_module, "costs_of_coordinates", counting)
    return sizes


@pytest.mark.parametrize("manifold", [Torus(2), KleinBottle(), Sphere(2), PoincareBall(2)])
@pytest.mark.parametrize("power", [1, 1.5])
def test_kept_costs_give_what_computed_ones_give(manifold, power, made, monkeypatch):
    limit_tiles(monkeypatch, 50)
    layers = [nn.GRU(2, N), nn.Linear(7, 5)]
    moduli = regularizer(layers, manifold, power=power)
    first, second = slopes(moduli), slopes(moduli)
    # The gates share one matrix.
    assert made == [(N, N), (5, 7)]
    anew = slopes(regularizer(layers, manifold, power=power, costs=Geometric(cost_budget=0)))
    assert len(made) == 2
    for one, other, computed in zip(first, second, anew, strict=True):
        assert torch.equal(one, other)
        torch.testing.assert_close(one, computed)
    kept = next(iter(moduli.costs._cache._kept.values()))[1]
    torch.testing.assert_close(kept, moduli.coefficients(0))


def move(moduli: ModuliRegularizer) -> None:
    with torch.no_grad():
        moduli.points.copy_(moduli.points.flip(0) * 0.5)


def load(moduli: ModuliRegularizer) -> None:
    state = moduli.state_dict()
    moduli.load_state_dict({name: value.flip(0) * 0.5 for name, value in state.items()})


def lengthen(moduli: ModuliRegularizer) -> None:
    moduli.embeddings[0].manifold.period = 20.0


def harden(moduli: ModuliRegularizer) -> None:
    moduli.costs._inhibitor = Ricker(width=0.5)


def widen(moduli: ModuliRegularizer) -> None:
    moduli.double()
    moduli.weights[0].owner.module.double()
    with torch.no_grad():
        moduli.weights[0].tensor.add_(1)


@pytest.mark.parametrize("change", [move, load, lengthen, harden, widen])
def test_costs_are_computed_again_once_they_change(change, made):
    moduli = regularizer()
    before = moduli()
    change(moduli)
    after = moduli()
    assert len(made) == 2
    assert after.item() != before.item()
    torch.testing.assert_close(after, 2.0 * (moduli.coefficients() * moduli.weights[0].tensor.abs()).mean())
    moduli()
    assert len(made) == 2


def test_costs_follow_points_that_are_drawn_anew(made):
    control = regularizer(costs=Redrawn())
    values = []
    for epoch in range(2):
        control.start_epoch(epoch)
        values += [control().item(), control().item()]
    assert values[0] == values[1] != values[2] == values[3]
    assert len(made) == 2


def test_kept_costs_are_neither_saved_nor_copied(made):
    moduli = regularizer()
    value = moduli()
    assert bytes_kept(moduli) == 4 * N * N
    assert list(moduli.state_dict()) == ["embeddings.0.points"]
    for twin in (copy.deepcopy(moduli), pickle.loads(pickle.dumps(moduli))):
        assert bytes_kept(twin) == 0
        assert twin().item() == value.item()
        move(twin)
        assert twin().item() != value.item()
    assert moduli().item() == value.item()
    assert moduli.to(torch.float32) is moduli
    assert bytes_kept(moduli) == 0


def test_the_budget_is_for_all_matrices_together(made):
    layers = [nn.RNN(2, N), nn.RNN(2, N), nn.RNN(2, 3)]
    moduli = regularizer(layers, costs=Geometric(cost_budget=4 * N * N + 4 * 9))
    for _ in range(2):
        moduli()
        assert bytes_kept(moduli) == moduli.costs._cache.budget
    assert made == [(N, N), (3, 3)]
    torch.testing.assert_close(
        moduli(),
        sum(2.0 * (moduli.coefficients(layer) * moduli.weights[layer].tensor.abs()).mean() for layer in range(3)),
    )


def test_one_matrix_a_module(made):
    moduli = regularizer(manifold=Modules([(Torus(2), 5), (Sphere(1), None)], between=3.0))
    torch.testing.assert_close(moduli(), 2.0 * (moduli.coefficients() * moduli.weights[0].tensor.abs()).mean())
    moduli()
    assert made == [(5, 5), (N - 5, N - 5)]


def test_a_function_of_the_user_s_is_asked_every_time(made):
    scale = {"of": 1.0}
    moduli = regularizer(inhibitor=lambda d: scale["of"] * d)
    value = moduli().item()
    scale["of"] = 2.0
    assert moduli().item() == pytest.approx(2 * value)
    assert not made


def test_learned_points_keep_nothing(made):
    moduli = regularizer(learn=True)
    moduli().backward()
    with torch.no_grad():
        moduli()
    assert not made
    moduli.freeze()
    moduli()
    assert len(made) == 1


def test_half_precision_keeps_float32(made):
    layer = nn.RNN(2, N).to(torch.bfloat16)
    moduli = regularizer(layer)
    assert moduli().dtype == torch.bfloat16
    assert bytes_kept(moduli) == 4 * N * N
    torch.testing.assert_close(moduli().float(), regularizer_value(layer, moduli), rtol=0.02, atol=0)


def regularizer_value(layer: nn.RNN, moduli: ModuliRegularizer) -> Tensor:
    return 2.0 * (moduli.coefficients().float() * layer.weight_hh_l0.float().abs()).mean()


def test_torch_func_neither_keeps_nor_uses_costs(made):
    moduli = regularizer()
    expected = slopes(moduli)[1]
    weight = moduli.weights[0].tensor

    def value(own: Tensor) -> Tensor:
        layer = moduli.weights[0].owner.module
        return torch.func.functional_call(Both(layer, moduli), {"layer.weight_hh_l0": own})

    torch.testing.assert_close(torch.func.grad(value)(weight.detach()), expected)
    assert len(made) == 1


class Both(nn.Module):
    def __init__(self, layer: nn.Module, moduli: ModuliRegularizer) -> None:
        super().__init__()
        self.layer, self.moduli = layer, moduli

    def forward(self) -> Tensor:
        return self.moduli()


def test_learned_points_get_a_gradient_every_kth_call(made):
    layer = nn.RNN(2, N)
    moduli = regularizer(layer, learn=True, refresh_every=3)
    given = []
    for _ in range(7):
        moduli.zero_grad()
        layer.zero_grad()
        value = moduli()
        torch.testing.assert_close(
            value.detach(), (2.0 * (moduli.coefficients() * layer.weight_hh_l0.abs()).mean()).detach()
        )
        value.backward()
        assert layer.weight_hh_l0.grad.any()
        given.append(moduli.points.grad is not None)
        with torch.no_grad():
            # Not a step of training: it does not count.
            moduli()
    assert given == [True, False, False, True, False, False, True]
    # The points did not move, so one matrix served all the calls.
    assert len(made) == 1


def train(model: Both, optimizer: torch.optim.Optimizer, steps: int) -> list[Tensor]:
    paths = []
    for _ in range(steps):
        optimizer.zero_grad()
        (model() - model.layer.weight_hh_l0.sum()).backward()
        optimizer.step()
        paths.append(model.moduli.points.detach().clone())
    return paths


def built(seed: int) -> tuple[Both, torch.optim.Optimizer]:
    torch.manual_seed(seed)
    layer = nn.RNN(2, N)
    model = Both(layer, regularizer(layer, learn=True, refresh_every=3, generator=generator(seed)))
    return model, riemannian_adam(model, model.moduli, lr=1e-2, embedding_lr=1e-2)


@pytest.mark.parametrize("before", [1, 2, 3, 4])
def test_a_resumed_run_refreshes_in_the_same_steps_to_the_same_bits(before):
    through, optimizer = built(0)
    path = train(through, optimizer, 8)
    moved = [not torch.equal(path[step], path[step - 1]) for step in range(1, 8)]
    assert moved == [False, False, True, False, False, True, False]
    model, optimizer = built(0)
    train(model, optimizer, before)
    state = copy.deepcopy((model.state_dict(), optimizer.state_dict()))
    other, optimizer = built(1)
    # A call of its own before the load counts no longer after it.
    other()
    other.load_state_dict(state[0])
    optimizer.load_state_dict(state[1])
    train(other, optimizer, 8 - before)
    for name, value in through.state_dict().items():
        assert torch.equal(other.state_dict()[name], value), name
    assert int(other.moduli.calls) == 8


def test_the_number_of_calls_is_saved_only_where_it_matters():
    assert "calls" not in regularizer(learn=True).state_dict()
    fixed = regularizer(refresh_every=5)
    assert "calls" not in fixed.state_dict()
    fixed()
    assert regularizer(learn=True, refresh_every=2).state_dict()["calls"] == 0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"refresh_every": 0}, "refresh_every must be an integer >= 1, got 0"),
        ({"refresh_every": 1.5}, r"refresh_every must be an integer >= 1, got 1\.5"),
        ({"refresh_every": True}, "refresh_every must be an integer >= 1, got True"),
    ],
)
def test_bad_arguments_are_named(arguments, message):
    with pytest.raises(ValueError, match=message):
        regularizer(inhibitor=Gaussian(), **arguments)


@pytest.mark.parametrize("budget", [-1, 1e9])
def test_a_bad_budget_is_named(budget):
    with pytest.raises(ValueError, match="cost_budget must be an integer >= 0, got"):
        Geometric(cost_budget=budget)
