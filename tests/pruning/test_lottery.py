import copy

import pytest
import torch
from torch import nn

from riemod import initialization
from riemod.manifolds import Torus
from riemod.manifolds._geoopt import geoopt
from riemod.masks import masked_parameters
from riemod.pruning import LinearSchedule, MagnitudePruner, lottery_ticket
from riemod.regularization import ModuliRegularizer
from tests.pruning.nets import small


class Net(nn.Module):
    def __init__(self, size=6):
        super().__init__()
        self.rnn = nn.RNN(3, size)
        self.decoder = nn.Linear(size, 2)
        self.norm = nn.BatchNorm1d(2)

    def forward(self, sequence):
        return self.norm(self.decoder(self.rnn(sequence)[0][-1]))


def seed(value):
    return torch.Generator().manual_seed(value)


def pruned_net(scope="global"):
    model = Net()
    moduli = ModuliRegularizer(model.rnn, Torus(dim=2, period=10.0), learn=True, generator=seed(0))
    pruner = MagnitudePruner(model, LinearSchedule(final=0.9, epochs=4), scope=scope)
    pruner.start_epoch(2)
    return model, pruner, moduli


def snapshot(module):
    return {key: value.clone() for key, value in module.state_dict().items()}


def same(first, second):
    return first.keys() == second.keys() and all(torch.equal(first[key], second[key]) for key in first)


def masks(model):
    return {name: mask.clone() for name, _, mask in masked_parameters(model)}


def test_same_masks_new_weights_originals_untouched():
    model, pruner, moduli = pruned_net()
    model(torch.randn(4, 5, 3)).sum().backward()
    before, points, schedule = snapshot(model), snapshot(moduli), pruner.schedule
    ticket = lottery_ticket(model, pruner, moduli, generator=seed(1))
    assert same(masks(ticket.model), masks(model))
    for name, parameter, mask in masked_parameters(ticket.model):
        assert torch.equal(parameter != 0, mask), name
        assert not torch.equal(parameter, model.get_parameter(name))
        assert parameter.requires_grad
        assert parameter.grad is None
    assert not torch.equal(ticket.model.decoder.bias, model.decoder.bias)
    assert same(snapshot(model), before)
    assert same(snapshot(moduli), points)
    assert pruner.schedule is schedule
    assert all(parameter.requires_grad for parameter in moduli.parameters())
    assert model.rnn.weight_hh_l0.grad is not None


def test_the_embedding_is_the_same_and_fixed_and_penalizes_the_copy():
    model, pruner, moduli = pruned_net()
    ticket = lottery_ticket(model, pruner, moduli, generator=seed(1))
    assert same(snapshot(ticket.moduli), snapshot(moduli))
    assert not any(parameter.requires_grad for parameter in ticket.moduli.parameters())
    ticket.moduli().backward()
    assert ticket.model.rnn.weight_hh_l0.grad is not None
    assert model.rnn.weight_hh_l0.grad is None
    with torch.no_grad():
        ticket.model.rnn.weight_hh_l0.zero_()
    assert ticket.moduli() == 0
    assert moduli() > 0


def test_same_seed_same_ticket():
    model, pruner, moduli = pruned_net()
    state = torch.get_rng_state()
    first, second, third = (lottery_ticket(model, pruner, moduli, generator=seed(value)).model for value in (1, 1, 2))
    assert same(snapshot(first), snapshot(second))
    assert not same(snapshot(first), snapshot(third))
    assert torch.equal(torch.get_rng_state(), state)


@small
@pytest.mark.parametrize("scope", ["global", "tensor"])
def test_the_pruner_is_frozen(scope):
    model, pruner, moduli = pruned_net(scope)
    ticket = lottery_ticket(model, pruner, moduli, generator=seed(1))
    assert ticket.pruner.model is ticket.model
    before = snapshot(ticket.model)
    for epoch in range(6):
        ticket.pruner.start_epoch(epoch)
    assert same(snapshot(ticket.model), before)
    assert ticket.pruner.sparsity() == pruner.sparsity()
    pruner.start_epoch(3)
    assert pruner.sparsity()["total"] > ticket.pruner.sparsity()["total"]


def test_a_rewind_that_follows_the_training_is_refused():
    model = Net()
    early = model.state_dict()
    pruner = MagnitudePruner(model)
    pruner.prune(0.5)
    with pytest.raises(ValueError, match=r"rewind must be a copy from an .* got decoder\.bias in the memory"):
        lottery_ticket(model, pruner, rewind=early)
    partly = snapshot(model) | {"norm.running_mean": model.norm.running_mean[:]}
    with pytest.raises(ValueError, match=r"rewind must be a copy .* got norm\.running_mean"):
        lottery_ticket(model, pruner, rewind=partly)
    assert lottery_ticket(model, pruner, rewind=copy.deepcopy(early)).model is not model


@pytest.mark.parametrize("masked", [False, True])
def test_rewinding_is_exact(masked):
    model = Net()
    pruner = MagnitudePruner(model) if masked else None
    early = snapshot(model)
    pruner = MagnitudePruner(model) if pruner is None else pruner
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn_like(parameter))
    pruner.prune(0.8)
    late = masks(model)
    ticket = lottery_ticket(model, pruner, rewind=early)
    assert ticket.moduli is None
    for name, parameter in ticket.model.named_parameters():
        assert torch.equal(parameter, early[name] * late.get(name, torch.ones_like(parameter)))
    assert same(masks(ticket.model), late)
    assert same(masks(model), late)


def test_rewinding_leaves_an_embedding_inside_the_model_alone():
    model = Net()
    model.moduli = ModuliRegularizer(model.rnn, Torus(dim=2, period=10.0), learn=True, generator=seed(0))
    model.moduli.curvature = nn.Parameter(torch.ones(()))
    early = snapshot(model)
    pruner = MagnitudePruner(model)
    pruner.prune(0.5)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.5)
    points = snapshot(model.moduli)
    without = {key: value for key, value in early.items() if not key.startswith("moduli.")}
    for state in (early, without):
        ticket = lottery_ticket(model, pruner, model.moduli, rewind=state)
        assert ticket.moduli is ticket.model.moduli
        assert same(snapshot(ticket.moduli), points)
        assert torch.equal(ticket.model.decoder.bias, early["decoder.bias"])
    fresh = lottery_ticket(model, pruner, model.moduli, generator=seed(1))
    assert same(snapshot(fresh.moduli), points)
    assert not torch.equal(fresh.model.decoder.bias, model.decoder.bias)


def test_the_draw_can_be_chosen():
    model, pruner, moduli = pruned_net()
    usual = lottery_ticket(model, pruner, moduli, generator=seed(1)).model
    named = lottery_ticket(model, pruner, moduli, generator=seed(1), initialize=initialization.sparsity_aware).model
    assert same(snapshot(usual), snapshot(named))
    torch_s = lottery_ticket(model, pruner, moduli, generator=seed(1), initialize=initialization.default).model
    fresh = Net()
    initialization.reset_parameters(fresh, seed(1))
    for name, parameter in torch_s.named_parameters():
        mask = masks(model).get(name, torch.ones_like(parameter))
        assert torch.equal(parameter, fresh.get_parameter(name) * mask)
    assert not torch.equal(usual.rnn.weight_hh_l0, torch_s.rnn.weight_hh_l0)
    radius = initialization.spectral_radius(usual.rnn.weight_hh_l0)
    assert radius == 0 or abs(radius - 1) < 1e-5


def test_a_draw_of_one_s_own_has_its_zeros_put_back():
    model, pruner, moduli = pruned_net()

    def ones(model, *, generator=None, skip=None):
        for parameter in model.parameters():
            if not isinstance(parameter, geoopt.ManifoldParameter):
                torch.nn.init.ones_(parameter)

    ticket = lottery_ticket(model, pruner, moduli, initialize=ones)
    for _, parameter, mask in masked_parameters(ticket.model):
        assert torch.equal(parameter, mask.float())


def test_a_bad_draw():
    model, pruner, moduli = pruned_net()
    with pytest.raises(TypeError, match="initialize must be a draw"):
        lottery_ticket(model, pruner, moduli, initialize="orthogonal")
    with pytest.raises(ValueError, match="initialize must be None if rewind is given"):
        lottery_ticket(model, pruner, moduli, initialize=initialization.default, rewind=snapshot(model))


def test_bad_rewind_states():
    model, pruner, moduli = pruned_net()
    good = snapshot(model)
    missing = {key: value for key, value in good.items() if key != "decoder.bias"}
    for bad, error, message in (
        (missing, ValueError, r"missing keys \['decoder.bias'\]"),
        (good | {"extra": torch.ones(1)}, ValueError, r"unexpected keys \['extra'\]"),
        (good | {"decoder.bias": torch.ones(3)}, ValueError, r"decoder.bias of shape \(2,\), got \(3,\)"),
        (good | {"decoder.bias": 1.0}, TypeError, "decoder.bias"),
        (snapshot(Net(size=7)), ValueError, "rewind"),
        ([1], TypeError, "rewind"),
    ):
        with pytest.raises(error, match=message):
            lottery_ticket(model, pruner, moduli, rewind=bad)
    assert same(snapshot(model), good)


def test_bad_arguments():
    model, pruner, _ = pruned_net()
    with pytest.raises(ValueError, match="another model"):
        lottery_ticket(Net(), pruner)
    with pytest.raises(TypeError, match="model"):
        lottery_ticket(None, pruner)
    with pytest.raises(TypeError, match="pruner"):
        lottery_ticket(model, None)
    with pytest.raises(TypeError, match="moduli"):
        lottery_ticket(model, pruner, nn.Linear(1, 1))


def test_a_ticket_trains_with_its_mask():
    model, pruner, moduli = pruned_net()
    ticket = lottery_ticket(model, pruner, moduli, generator=seed(1))
    optimizer = torch.optim.Adam(ticket.model.parameters(), lr=0.01)
    for epoch in range(3):
        ticket.pruner.start_epoch(epoch)
        loss = ticket.model(torch.randn(4, 5, 3)).square().sum() + ticket.moduli()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        ticket.pruner.apply(optimizer)
    for name, parameter, mask in masked_parameters(ticket.model):
        assert torch.equal(parameter != 0, mask), name
    assert same(masks(ticket.model), masks(model))
