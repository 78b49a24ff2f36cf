import pytest
import torch
from torch import nn

from riemod.initialization import reset_parameters, seeded_draws
from riemod.manifolds._geoopt import geoopt


class Net(nn.Module):
    """Its own draw has the last word over its parts'."""

    def __init__(self):
        super().__init__()
        self.encoder = nn.Linear(3, 4)
        self.rnn = nn.RNN(4, 4)
        self.norm = nn.BatchNorm1d(4)
        self.reset_parameters()

    def reset_parameters(self):
        nn.init.eye_(self.rnn.weight_hh_l0)


class Bare(nn.Module):
    def __init__(self):
        super().__init__()
        self.scale = nn.Parameter(torch.ones(3))


class Points(nn.Module):
    def __init__(self):
        super().__init__()
        self.points = geoopt.ManifoldParameter(torch.randn(4, 3))


class MovingPoints(Points):
    def reset_parameters(self):
        with torch.no_grad():
            self.points.normal_()


def seed(value):
    return torch.Generator().manual_seed(value)


def flat(module):
    return torch.cat([parameter.detach().flatten() for parameter in module.parameters()])


def test_same_seed_same_weights():
    first, second, third = Net(), Net(), Net()
    parameters = list(first.parameters())
    before = flat(first)
    for net, value in ((first, 7), (second, 7), (third, 8)):
        reset_parameters(net, seed(value))
    assert torch.equal(flat(first), flat(second))
    assert not torch.equal(flat(first), flat(third))
    assert not torch.equal(flat(first), before)
    assert all(old is new for old, new in zip(parameters, first.parameters(), strict=True))


def test_reset_draws_as_construction_does():
    with seeded_draws(seed(3)):
        built = Net()
    net = Net()
    reset_parameters(net, seed(3))
    assert torch.equal(flat(net), flat(built))
    assert torch.equal(net.rnn.weight_hh_l0, torch.eye(4))


def test_without_a_generator_the_global_one_is_drawn_from():
    net = nn.Linear(3, 4)
    torch.manual_seed(5)
    expected = flat(nn.Linear(3, 4))
    torch.manual_seed(5)
    reset_parameters(net)
    assert torch.equal(flat(net), expected)


def test_the_global_state_comes_back():
    before = torch.get_rng_state()
    generator = seed(0)
    reset_parameters(Net(), generator)
    torch.set_rng_state(before)
    with seeded_draws(generator):
        first = torch.rand(3)
    with pytest.raises(RuntimeError, match="shape"), seeded_draws(generator):
        torch.rand(3).view(2)
    with seeded_draws(generator):
        assert not torch.equal(torch.rand(3), first)
    assert torch.equal(torch.get_rng_state(), before)
    with seeded_draws(None):
        torch.rand(1)
    assert not torch.equal(torch.get_rng_state(), before)


def test_the_default_generator_may_be_the_source():
    torch.manual_seed(1)
    with seeded_draws(torch.default_generator):
        first = torch.rand(3)
    with seeded_draws(torch.default_generator):
        second = torch.rand(3)
    assert not torch.equal(first, second)


def test_an_unknown_draw_is_an_error_and_changes_nothing():
    net = nn.Sequential(nn.Linear(3, 3), Bare())
    before = flat(net)
    with pytest.raises(ValueError, match=r"'1' \(Bare\) that owns scale without"):
        reset_parameters(net, seed(0))
    assert torch.equal(flat(net), before)
    with pytest.raises(ValueError, match="the module itself"):
        reset_parameters(Bare(), seed(0))


@pytest.mark.parametrize("kind", [Points, MovingPoints])
def test_manifold_points_are_left_alone(kind):
    net = nn.Sequential(nn.Linear(3, 3), kind())
    points, weight = net[1].points.detach().clone(), net[0].weight.detach().clone()
    reset_parameters(net, seed(0))
    assert torch.equal(net[1].points, points)
    assert not torch.equal(net[0].weight, weight)


def test_skip_leaves_a_part_alone_but_not_what_is_shared():
    shared = nn.Linear(2, 2)
    part = nn.Sequential(Bare(), shared)
    net = nn.Sequential(part, shared)
    bare, weight = part[0].scale.detach().clone(), shared.weight.detach().clone()
    reset_parameters(net, seed(0), skip=part)
    assert torch.equal(part[0].scale, bare)
    assert not torch.equal(shared.weight, weight)


def test_shared_modules_are_drawn_once():
    shared = nn.Linear(2, 2)
    net = nn.Sequential(shared, shared)
    reset_parameters(net, seed(0))
    once = flat(shared)
    reset_parameters(shared, seed(0))
    assert torch.equal(flat(shared), once)


def test_wrong_types():
    with pytest.raises(TypeError, match="module"):
        reset_parameters(torch.ones(2), seed(0))
    with pytest.raises(TypeError, match="generator"), seeded_draws(0):
        pass
