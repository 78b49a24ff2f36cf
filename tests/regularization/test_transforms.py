"""The penalty under torch.func, autocast, narrow dtypes, gradient accumulation, copies and saving."""

import copy

import pytest
import torch
from torch import Tensor, nn

from riemod import ModuliRegularizer, moduli_penalty
from riemod.manifolds import PoincareBall, Sphere, Torus
from riemod.regularization import Modules, recurrent
from riemod.regularization.inhibitors import DifferenceOfGaussians
from riemod.regularization.penalty import penalty_of_coordinates
from tests.regularization.every_kind import Trained, eager, gradients, inputs
from tests.regularization.formulas import MANIFOLDS
from tests.strategies import generator

LAW = DifferenceOfGaussians()


@pytest.mark.parametrize("manifold", MANIFOLDS)
def test_torch_func_differentiates_a_loss_that_includes_the_penalty(manifold):
    model = Trained(manifold)
    expected = eager(model, inputs())
    parameters = {name: parameter.detach().clone() for name, parameter in model.named_parameters()}

    def loss(values: dict[str, Tensor]) -> Tensor:
        return torch.func.functional_call(model, values, (inputs(),))

    found, value = torch.func.grad_and_value(loss)(parameters)
    assert value.item() == model(inputs()).item()
    torch.testing.assert_close(found, expected)


def test_vmap_goes_over_weights_and_over_points():
    torus = Torus(2)
    weights = torch.randn(3, 4, 4, generator=generator(0))
    points = torch.stack([torus.sample(4, generator=generator(seed)) for seed in range(3)])

    def value(weight: Tensor, own: Tensor) -> Tensor:
        rows = torus.coordinates(own)
        return penalty_of_coordinates(weight, rows, rows, torus, LAW, 1)

    each = torch.stack([value(weight, own) for weight, own in zip(weights, points, strict=True)])
    torch.testing.assert_close(torch.vmap(value)(weights, points), each)
    slopes = torch.vmap(torch.func.grad(value, argnums=(0, 1)))(weights, points)
    for index in range(3):
        torch.testing.assert_close(
            tuple(slope[index] for slope in slopes),
            torch.func.grad(value, argnums=(0, 1))(weights[index], points[index]),
        )
        assert slopes[1][index].any()
    # One set of points for all weights, as in an ensemble that shares its embedding.
    together = torch.vmap(lambda weight: moduli_penalty(weight, points[0], torus, LAW))(weights)
    torch.testing.assert_close(together[2], moduli_penalty(weights[2], points[0], torus, LAW))


def test_a_second_derivative_is_refused_by_torch_func_as_well():
    points, torus = Torus(2).sample(4, generator=generator(0)), Torus(2)

    def slope(weight: Tensor) -> Tensor:
        return torch.func.grad(lambda w: moduli_penalty(w, points, torus, LAW, 2))(weight).square().sum()

    assert slope(torch.ones(4, 4)) > 0
    with pytest.raises(RuntimeError, match="the moduli penalty is differentiable once"):
        torch.func.grad(slope)(torch.ones(4, 4))


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_autocast_leaves_the_penalty_as_it_is(dtype):
    model = Trained("poincare")
    expected = model.moduli()
    expected_gradients = torch.autograd.grad(expected, list(model.moduli.parameters()))
    with torch.autocast("cpu", dtype=dtype):
        assert torch.nn.functional.linear(torch.ones(1, 10), model.first.weight).dtype == dtype
        value = model.moduli()
        direct = moduli_penalty(model.cell.transition, model.moduli.embeddings[-1].points, PoincareBall(2, -0.5), LAW)
    assert value.dtype == torch.float32
    assert torch.equal(value, expected)
    found = torch.autograd.grad(value, list(model.moduli.parameters()))
    for one, other in zip(found, expected_gradients, strict=True):
        assert torch.equal(one, other)
    torch.testing.assert_close(
        direct, moduli_penalty(model.cell.transition, model.moduli.embeddings[-1].points, PoincareBall(2, -0.5), LAW)
    )


@pytest.mark.parametrize("reduction", ["mean", "sum"])
@pytest.mark.parametrize("layout", ["one", "modules"])
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_sums_of_narrow_weights_do_not_overflow(dtype, layout, reduction):
    torus = Torus(2)
    layout = torus if layout == "one" else Modules([(torus, 100), (Sphere(1), None)], between=81.0)
    linear = nn.Linear(200, 200)
    with torch.no_grad():
        linear.weight.fill_(1.0)
    linear.to(dtype)
    # The sum is about 3e6, and with this strength 300: beyond float16 only on the way.
    strength = 1e-4 if reduction == "sum" else 1.0
    moduli = ModuliRegularizer(
        recurrent(linear, "weight"), layout, strength=strength, reduction=reduction, learn=True, generator=generator(0)
    )
    value = moduli()
    assert value.dtype == dtype
    expected = strength * moduli.coefficients().double()
    expected = expected.mean() if reduction == "mean" else expected.sum()
    torch.testing.assert_close(value.double(), expected, rtol=0.02, atol=0)
    value.backward()
    for parameter in (linear.weight, *moduli.parameters()):
        assert parameter.grad is not None
        assert parameter.grad.dtype == dtype
        assert parameter.grad.isfinite().all()
        assert parameter.grad.any()


def test_accumulated_gradients_are_those_of_the_whole_batch():
    model = Trained()
    expected = eager(model, inputs(batch=6))
    model.zero_grad()
    for part in inputs(batch=6).split(2, dim=1):
        loss = (model.predict(part) - 1).square().mean() + model.moduli()
        (loss / 3).backward()
    torch.testing.assert_close(gradients(model), expected)
    # Once a step, with the last part, is the same.
    model.zero_grad()
    for index, part in enumerate(inputs(batch=6).split(2, dim=1)):
        loss = (model.predict(part) - 1).square().mean() / 3
        (loss + model.moduli() if index == 2 else loss).backward()
    torch.testing.assert_close(gradients(model), expected)


def test_a_copy_of_every_kind_is_linked_to_the_copied_layers():
    model = Trained("learned poincare")
    twin = copy.deepcopy(model)
    assert twin.moduli().item() == model.moduli().item()
    assert [type(target.module) for target in twin.moduli.weights] == [type(t.module) for t in model.moduli.weights]
    assert twin.moduli.weights[0].module is twin.conv
    assert twin.moduli.source_embeddings(4)[0] is twin.moduli.layer_embeddings(3)[0]
    before = model.moduli().item()
    with torch.no_grad():
        for parameter in twin.parameters():
            parameter.mul_(0.5)
    assert model.moduli().item() == before != twin.moduli().item()


@pytest.mark.parametrize("manifold", ["torus", "learned poincare", "product"])
def test_state_dict_round_trip_of_every_kind(manifold, tmp_path):
    model, other = Trained(manifold, seed=0), Trained(manifold, seed=1)
    with torch.no_grad():
        for parameter in model.moduli.parameters():
            if parameter.ndim == 0:
                parameter.fill_(0.3)
    torch.save(model.state_dict(), tmp_path / "model.pt")
    assert other(inputs()).item() != model(inputs()).item()
    other.load_state_dict(torch.load(tmp_path / "model.pt", weights_only=True))
    assert other(inputs()).item() == model(inputs()).item()
    assert other.moduli.coefficients(1).equal(model.moduli.coefficients(1))
