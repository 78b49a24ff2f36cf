"""What both callbacks check, and the gradients that they add."""

import importlib

import pytest
import torch
from torch import nn

from riemod.integrations._step import add_penalty, check_parts
from tests.integrations.loops import Net, pruner_of


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
