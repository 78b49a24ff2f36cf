"""Manifolds and their points as parts of a module: copied, saved, loaded, pickled, moved."""

import copy
import io
import pickle

import pytest
import torch
from torch import nn

from riemod.manifolds import PoincareBall
from riemod.manifolds._geoopt import geoopt
from tests.strategies import MANIFOLDS, generator


class Embedding(nn.Module):
    def __init__(self, manifold, seed=0):
        super().__init__()
        self.manifold = manifold
        self.points = manifold.parameter(manifold.sample(6, generator=generator(seed)))

    def energy(self):
        return self.manifold.squared_distance(*(self.manifold.coordinates(self.points),) * 2).mean()

    def train_once(self):
        optimizer = geoopt.optim.RiemannianAdam(self.parameters(), lr=0.01)
        self.energy().backward()
        optimizer.step()


def parts(manifold):
    return [manifold, *(part for factor in getattr(manifold, "factors", ()) for part in parts(factor))]


@pytest.mark.parametrize("name", MANIFOLDS)
def test_a_deep_copy_is_whole_and_its_own(name):
    original = Embedding(copy.deepcopy(MANIFOLDS[name]))
    original.manifold.space  # noqa: B018  # geomstats' metrics are not to be copied
    before = original.energy().item()
    state = {key: value.clone() for key, value in original.state_dict().items()}
    twin = copy.deepcopy(original)
    assert repr(twin.manifold) == repr(original.manifold)
    assert twin.energy().item() == before
    assert twin.points.manifold is twin.manifold.geometry
    assert twin.points.manifold is not original.points.manifold
    assert all(
        not (set(map(id, a.modules())) & set(map(id, b.modules())))
        for a in parts(twin.manifold)
        for b in parts(original.manifold)
    )
    twin.train_once()
    assert twin.energy().item() != before
    assert original.energy().item() == before
    for key, value in original.state_dict().items():
        assert torch.equal(value, state[key])
        assert not torch.equal(value, twin.state_dict()[key])
    x = twin.points.detach()
    assert twin.manifold.reference_distance(x, x).shape == (6,)


@pytest.mark.parametrize("name", MANIFOLDS)
def test_the_state_dict_holds_all_that_is_learned(name):
    source = Embedding(copy.deepcopy(MANIFOLDS[name]))
    source.train_once()
    target = Embedding(copy.deepcopy(MANIFOLDS[name]), seed=1)
    assert target.energy().item() != source.energy().item()
    file = io.BytesIO()
    torch.save(source.state_dict(), file)
    file.seek(0)
    target.load_state_dict(torch.load(file, weights_only=True))
    assert target.energy().item() == source.energy().item()
    assert len(source.state_dict()) == len(list(source.parameters()))


@pytest.mark.parametrize("assign", [False, True])
def test_loading_a_curvature_by_assignment(assign):
    source = PoincareBall(2, curvature=-3.0, learn_curvature=True)
    target = PoincareBall(2, curvature=-1.0, learn_curvature=True)
    target.load_state_dict(source.state_dict(), assign=assign)
    assert target.curvature == source.curvature == pytest.approx(-3)
    points = source.sample(3, generator=generator(0), dtype=torch.float64)
    assert torch.equal(target.distance(points, points), source.distance(points, points))


@pytest.mark.parametrize("name", MANIFOLDS)
def test_a_manifold_can_be_pickled(name):
    manifold = MANIFOLDS[name]
    manifold.space  # noqa: B018
    twin = pickle.loads(pickle.dumps(manifold))
    points = manifold.sample(4, generator=generator(0))
    assert torch.equal(twin.distance(points, points), manifold.distance(points, points))


@pytest.mark.parametrize("name", MANIFOLDS)
def test_a_module_in_float64_keeps_its_points(name):
    embedding = Embedding(copy.deepcopy(MANIFOLDS[name])).double()
    assert embedding.points.dtype == torch.float64
    assert isinstance(embedding.points, geoopt.ManifoldParameter)
    embedding.train_once()
    embedding.manifold.check_points(embedding.points)


@pytest.mark.parametrize("name", MANIFOLDS)
def test_a_parameter_is_a_copy_of_its_points(name):
    manifold = MANIFOLDS[name]
    points = manifold.sample(4, generator=generator(0))
    parameter = manifold.parameter(points)
    assert isinstance(parameter, nn.Parameter)
    assert parameter.requires_grad
    assert not manifold.parameter(points, requires_grad=False).requires_grad
    assert parameter.manifold is manifold.geometry
    kept = points.clone()
    parameter.data.zero_()
    assert torch.equal(points, kept)
