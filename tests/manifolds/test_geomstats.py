"""riemod's distances, geodesics and samples against geomstats', and the adapter that leaves the process as it was."""

import json
import math
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch
from scipy import stats

from riemod.manifolds import KleinBottle, PoincareBall, Product, Sphere, Torus, _geomstats
from tests.strategies import MANIFOLDS, generator, neighbors

PAIRS = 10_000


@pytest.mark.parametrize("name", MANIFOLDS)
def test_distances_agree_with_geomstats(name):
    manifold = MANIFOLDS[name]
    x, y = manifold.sample(2 * PAIRS, generator=generator(0), dtype=torch.float64).split(PAIRS)
    reference = torch.from_numpy(manifold.reference_distance(x, y))
    coordinates = manifold.coordinates(x), manifold.coordinates(y)
    own = torch.cat(
        [
            manifold.squared_distance(rows, columns).diagonal()
            for rows, columns in zip(*(c.split(100) for c in coordinates), strict=True)
        ]
    ).sqrt()
    assert reference.dtype == torch.float64
    assert reference.shape == (PAIRS,)
    # geomstats' arccosines and clipped norms are good to about 1e-7.
    torch.testing.assert_close(own.detach(), reference, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("name", MANIFOLDS)
def test_near_distances_agree_with_geomstats(name):
    manifold = MANIFOLDS[name]
    x = manifold.sample(200, generator=generator(1), dtype=torch.float64)
    y = neighbors(manifold, x, 1e-2, seed=2)
    own = manifold.distance(x, y).diagonal().detach()
    torch.testing.assert_close(torch.from_numpy(manifold.reference_distance(x, y)), own, rtol=1e-4, atol=0)


@pytest.mark.parametrize("name", MANIFOLDS)
def test_space_holds_the_points(name):
    manifold = MANIFOLDS[name]
    points = manifold.to_space(manifold.sample(50, generator=generator(3), dtype=torch.float32))
    assert points.dtype == np.float64
    assert manifold.space is manifold.space
    assert manifold.space.dim == manifold.dim
    assert bool(np.all(manifold.space.belongs(points, atol=1e-6)))
    direct = manifold.space.metric.dist(points[:25], points[25:])
    assert np.array_equal(direct, _geomstats.distance(manifold.space, points[:25], points[25:]))


@pytest.mark.parametrize("name", ["sphere", "torus", "hyperbolic space", "product"])
def test_logarithms_have_the_length_of_the_distance(name):
    manifold = MANIFOLDS[name]
    x, y = manifold.sample(40, generator=generator(4), dtype=torch.float64).split(20)
    metric = manifold.space.metric
    start, end = manifold.to_space(x), manifold.to_space(y)
    length = metric.norm(metric.log(end, start), start)
    torch.testing.assert_close(
        torch.from_numpy(length), manifold.distance(x, y).diagonal().detach(), rtol=1e-5, atol=1e-6
    )


def uniform_pairs(space, size):
    """Distances between points of geomstats' own uniform sampler."""
    random_point = getattr(space, "random_uniform", space.random_point)
    return _geomstats.distance(space, random_point(size), random_point(size))


@pytest.mark.parametrize(
    "manifold",
    [Sphere(1), Sphere(2), Sphere(4, radius=2.0), Torus(2), KleinBottle(), Product([Torus(1), Sphere(2)])],
    ids=repr,
)
def test_samples_are_distributed_like_geomstats_uniform_ones(manifold):
    _geomstats._load("backend").random.seed(0)
    own = manifold.sample(8000, generator=generator(0), dtype=torch.float64)
    distances = manifold.reference_distance(*own.split(4000))
    assert stats.ks_2samp(distances, uniform_pairs(manifold.space, 4000)).pvalue > 1e-3


def test_geomstats_uniform_ball_is_not_uniform_in_volume():
    """Why the ball has a sampler of its own."""
    _geomstats._load("backend").random.seed(0)
    ball = PoincareBall(2, sample_radius=1.0)
    distances = ball.reference_distance(*ball.sample(4000, generator=generator(0), dtype=torch.float64).split(2000))
    theirs = ball.space.random_point(4000, bound=math.tanh(0.5))
    theirs = _geomstats.distance(ball.space, theirs[:2000], theirs[2000:])
    assert stats.ks_2samp(distances, theirs).pvalue < 1e-6


@pytest.mark.parametrize("manifold", [Sphere(1), Sphere(3), Torus(2), Torus(1, period=0.5)], ids=repr)
def test_points_of_spheres_and_tori_are_draws_of_geomstats(manifold):
    found = manifold.sample(20, generator=generator(7), dtype=torch.float64)
    seed = int(torch.randint(2**63 - 1, (), generator=generator(7)))
    state = np.random.get_state()  # noqa: NPY002
    np.random.seed([seed & 0xFFFFFFFF, seed >> 32])  # noqa: NPY002
    theirs = manifold.space.random_point(20)
    np.random.set_state(state)  # noqa: NPY002
    np.testing.assert_allclose(manifold.to_space(found), theirs, atol=1e-14)


def test_a_draw_leaves_the_global_generators_alone_even_when_it_fails(monkeypatch):
    sphere, numpy_state, torch_state = Sphere(2), np.random.get_state(), torch.get_rng_state()  # noqa: NPY002

    def unchanged():
        now = np.random.get_state()  # noqa: NPY002
        same = [np.array_equal(now[part], numpy_state[part]) for part in range(5)]
        return all(same) and torch.equal(torch.get_rng_state(), torch_state)

    sphere.sample(3, generator=generator(0))
    assert unchanged()

    def fail(*_):
        np.random.normal(size=3)  # noqa: NPY002
        raise ArithmeticError

    monkeypatch.setattr(type(sphere.space), "random_point", fail)
    with pytest.raises(ArithmeticError):
        sphere.sample(3, generator=generator(0))
    assert unchanged()
    monkeypatch.undo()
    sphere.sample(3, generator=generator(0))


def test_draws_in_several_threads_have_the_bits_of_their_seeds():
    sphere = Sphere(2)
    alone = [sphere.sample(500, generator=generator(seed)) for seed in range(40)]
    with ThreadPoolExecutor(8) as pool:
        together = list(pool.map(lambda seed: sphere.sample(500, generator=generator(seed)), range(40)))
    assert all(torch.equal(one, other) for one, other in zip(alone, together, strict=True))


def test_each_draw_takes_one_number_from_the_generator_and_successive_draws_differ():
    source = generator(0)
    first, second = (Torus(2).sample(100, generator=source) for _ in range(2))
    assert not torch.isin(first, second).any()
    after = generator(0)
    for _ in range(2):
        torch.randint(2**63 - 1, (), generator=after)
    assert torch.equal(source.get_state(), after.get_state())


def test_a_default_device_does_not_change_the_points():
    points = Torus(2).sample(5, generator=generator(0))
    with torch.device("meta"):
        assert Torus(2).sample(5).shape == (5, 2)
        assert Torus(2).sample(5).is_meta
        assert torch.equal(Torus(2).sample(5, generator=generator(0)), points)


def test_reference_distance_is_element_wise():
    torus = Torus(2)
    points = torus.sample(5, generator=generator(0))
    distances = torus.reference_distance(points, points.flip(0))
    assert distances[2] == 0
    assert distances.tolist() == pytest.approx(torus.distance(points, points.flip(0)).diagonal().tolist(), rel=1e-5)


ADAPTER = """
import json, logging, os, sys, warnings
import numpy as np, torch
before_import = sys.argv[1]
if before_import:
    # The way a user with NumPy 2.4 has to import geomstats today.
    np.trapz = np.trapezoid
    os.environ["GEOMSTATS_BACKEND"] = before_import
    import geomstats.backend
    torch.set_default_dtype(torch.float32)
warnings.simplefilter("error")

def snapshot():
    root = logging.getLogger()
    return {
        "dtype": str(torch.get_default_dtype()),
        "environment": dict(os.environ),
        "filters": [str(rule) for rule in warnings.filters],
        "level": root.level,
        "handlers": [str(handler) for handler in root.handlers],
        "trapz": "trapz" in np.__dict__,
        "numpy errors": np.geterr(),
        "numpy": [part.tolist() if isinstance(part, np.ndarray) else part for part in np.random.get_state()],
        "torch": torch.get_rng_state().tolist(),
        "device": str(torch.get_default_device()),
    }

from riemod.manifolds import KleinBottle, PoincareBall, Product, Sphere, Torus, frechet_means, geodesics
assert bool(before_import) or "geomstats" not in sys.modules
before = snapshot()
manifold = Product([Torus(2), Sphere(2), KleinBottle(), PoincareBall(2, curvature=-2.0)])
x, y = manifold.sample(40, generator=torch.Generator().manual_seed(0), dtype=torch.float64).split(20)
again = manifold.sample(40, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
assert torch.equal(again, torch.cat((x, y)))
assert abs(Sphere(2).sample(9, dtype=torch.float64, generator=torch.Generator()).norm(dim=1) - 1).max() < 1e-15
middle = geodesics(x, y, manifold, 3)[:, 1]
assert abs(manifold.distance(x, middle).diagonal() - manifold.distance(x, y).diagonal() / 2).max() < 1e-6
mean = frechet_means(torch.stack((x[0], x[0])), torch.ones(1, 2), manifold)
assert manifold.distance(mean, x[:1]) < 1e-6
reference = manifold.reference_distance(x, y)
error = abs(reference - manifold.distance(x, y).diagonal().numpy()).max()
single = manifold.reference_distance(x.float(), y.float())
after = snapshot()
import geomstats.backend
print(json.dumps({
    "changed": [name for name in before if before[name] != after[name]],
    "error": float(error),
    "single": float(abs(single - reference).max()),
    "kind": [type(reference).__name__, str(reference.dtype)],
    "backend": geomstats.backend.__name__,
}))
"""


@pytest.mark.parametrize(
    ("environment", "imported_before", "backend"),
    [
        ({}, "", "numpy"),
        ({"GEOMSTATS_BACKEND": "pytorch"}, "", "pytorch"),
        ({}, "numpy", "numpy"),
        ({}, "pytorch", "pytorch"),
    ],
)
def test_adapter_leaves_the_process_as_it_was(environment, imported_before, backend):
    inherited = {name: value for name, value in os.environ.items() if name != "GEOMSTATS_BACKEND"}
    finished = subprocess.run(
        [sys.executable, "-c", ADAPTER, imported_before],
        capture_output=True,
        text=True,
        check=False,
        env=inherited | environment,
    )
    assert finished.returncode == 0, finished.stderr
    found = json.loads(finished.stdout)
    assert found["changed"] == []
    assert found["backend"] == f"geomstats.{backend}"
    assert found["error"] < 1e-6
    assert found["single"] < 1e-4
    assert found["kind"] == ["ndarray", "float64"]
