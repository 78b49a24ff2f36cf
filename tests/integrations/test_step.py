"""What both callbacks check, and the gradients that they add."""

import importlib

import pytest
import torch
from torch import nn

from riemod import AutoStrength, ModuliRegularizer
from riemod.integrations._step import add_penalty, check_parts, strength_of
from riemod.manifolds import Torus
from tests.integrations.loops import Net, data, pruner_of


@pytest.mark.parametrize("library", ["lightning", "transformers"])
def test_a_callback_with_nothing_to_do_is_refused(library: str):
    pytest.importorskip(library)
    callback = importlib.import_module(f"riemod.integrations.{library}").ModuliCallback
    with pytest.raises(ValueError, match="moduli or pruner must be given, got None for both"):
        callback()


def test_parts_of_another_type_are_named():
    with pytest.raises(TypeError, match="moduli must be a ModuliRegularizer, got RNN"):
        check_parts(nn.RNN(2, 2), None)  # pyright: ignore[reportArgumentType]
    with pytest.raises(TypeError, match="pruner must be a MagnitudePruner, got float"):
        check_parts(None, 0.9)  # pyright: ignore[reportArgumentType]
    net = Net()
    check_parts(net.moduli, None)
    check_parts(None, pruner_of(net))


@pytest.mark.parametrize("scale", [1.0, 1024.0])
def test_the_penalty_s_gradients_are_added_to_those_that_are_there(scale: float):
    net, other = Net(), Net()
    penalty = add_penalty(net.moduli, torch.optim.SGD(net.parameters()), scale)
    expected = other.moduli()
    torch.testing.assert_close(penalty, expected.detach())
    assert not penalty.requires_grad
    (scale * expected).backward()
    for name, parameter in net.named_parameters():
        torch.testing.assert_close(parameter.grad, other.get_parameter(name).grad, msg=lambda text, name=name: name)
    once = net.rnn.weight_hh_l0.grad.clone()
    add_penalty(net.moduli, torch.optim.SGD(net.parameters()), scale)
    torch.testing.assert_close(net.rnn.weight_hh_l0.grad, 2 * once)


def test_only_the_optimizer_s_own_parameters_get_gradients():
    net = Net()
    add_penalty(net.moduli, torch.optim.SGD([net.moduli.points]))
    assert net.moduli.points.grad is not None
    assert net.rnn.weight_hh_l0.grad is None
    add_penalty(net.moduli, torch.optim.SGD(net.readout.parameters()))
    assert net.readout.weight.grad is None


def test_a_strength_must_be_of_the_penalty():
    net, other = Net(), Net()
    assert strength_of(net.moduli, None) is None
    found = strength_of(net.moduli, "auto")
    assert found is not None
    assert found.moduli is net.moduli
    own = AutoStrength(net.moduli, share=0.5)
    assert strength_of(net.moduli, own) is own
    with pytest.raises(ValueError, match="strength must be an AutoStrength of moduli, got one of another regularizer"):
        strength_of(other.moduli, own)
    with pytest.raises(ValueError, match="strength is the penalty's and needs moduli, got moduli=None"):
        strength_of(None, "auto")
    with pytest.raises(ValueError, match="strength must be 'auto', an AutoStrength or None, got 'automatic'"):
        strength_of(net.moduli, "automatic")  # pyright: ignore[reportArgumentType]
    with pytest.raises(TypeError, match="strength must be 'auto', an AutoStrength or None, got float"):
        strength_of(net.moduli, 0.1)  # pyright: ignore[reportArgumentType]


@pytest.mark.parametrize("scale", [1.0, 1024.0])
def test_a_strength_is_found_from_the_task_s_gradient_alone(scale: float):
    net = Net()
    strength = AutoStrength(net.moduli, share=0.5, every=1)
    x, y = data()
    for _ in range(3):
        net.zero_grad()
        (scale * net.loss(net.outputs(x), y)).backward()
        task = net.rnn.weight_hh_l0.grad.clone() / scale
        add_penalty(net.moduli, torch.optim.SGD(net.parameters()), scale, strength)
        (pull,) = torch.autograd.grad(strength(), [net.rnn.weight_hh_l0])
        torch.testing.assert_close(pull.norm(), 0.5 * task.norm(), rtol=1e-4, atol=0.0)


def test_a_strength_is_left_alone_by_optimizers_of_other_weights():
    net = Net()
    strength = AutoStrength(net.moduli)
    add_penalty(net.moduli, torch.optim.SGD(net.readout.parameters()), strength=strength)
    assert strength.calls == 0


def test_two_optimizers_must_not_share_the_weights_of_a_strength_that_is_found():
    layers = nn.RNN(1, 4, num_layers=2)
    moduli = ModuliRegularizer(layers, Torus(2))
    strength = AutoStrength(moduli)
    optimizer = torch.optim.SGD([layers.weight_hh_l0])
    with pytest.raises(ValueError, match="strength must be a number where two optimizers share the penalized weights"):
        add_penalty(moduli, optimizer, strength=strength)
