"""geomstats' manifolds in riemod's units: uniform draws, distances, geodesics, means. No other file imports geomstats.

geomstats 2.8 needs `numpy.trapz`, which NumPy 2.4 has dropped. Its import sets up the root logger and, with its PyTorch
backend, changes torch's default dtype. The functions here restore the state of the process. geomstats chooses its
backend once, from the environment variable GEOMSTATS_BACKEND, and takes NumPy if it is not set.

The first use imports geomstats, which takes about 1.3 s on one core.
"""

import contextlib
import importlib
import logging
import math
import os
import threading
import warnings
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import torch

# geomstats draws from the global generator of its backend, which one draw at a time may borrow.
_DRAWING = threading.Lock()


@contextlib.contextmanager
def _process_left_as_found() -> Iterator[None]:
    dtype, root = torch.get_default_dtype(), logging.getLogger()
    level, handlers, environment = root.level, list(root.handlers), set(os.environ)
    needs_trapz = "trapz" not in np.__dict__
    if needs_trapz:
        np.__dict__["trapz"] = np.trapezoid
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        if needs_trapz:
            del np.__dict__["trapz"]
        root.setLevel(level)
        root.handlers[:] = handlers
        torch.set_default_dtype(dtype)
        # scikit-learn, which geomstats imports, sets variables of OpenMP.
        for name in set(os.environ) - environment:
            del os.environ[name]


def _load(name: str) -> Any:
    """Import a module of geomstats."""
    with _process_left_as_found():
        return importlib.import_module(f"geomstats.{name}")


def _scaled(space: Any, length: float) -> Any:
    """Multiply the distances of a space by a length; geomstats' scalar multiplies the squared distances."""
    metric = _load("geometry.scalar_product_metric").ScalarProductMetric(space, length**2)
    # A factor of a product needs these two attributes, which geomstats 2.8 sets on every metric except a scaled one.
    metric.point_ndim, metric.shape = space.point_ndim, space.shape
    space.metric = metric
    return space


def euclidean(dim: int) -> Any:
    """Make R^dim."""
    return _load("geometry.euclidean").Euclidean(dim)


def sphere(dim: int, radius: float) -> Any:
    """Make the sphere of a radius, whose points are unit vectors (n, dim + 1)."""
    return _scaled(_load("geometry.hypersphere").Hypersphere(dim), radius)


def torus(dim: int, period: float) -> Any:
    """Make a product of circles, whose points are unit vectors of the plane, one after the other: (n, 2 dim)."""
    return product([sphere(1, period / (2 * math.pi)) for _ in range(dim)])


def klein_bottle(period: float) -> Any:
    """Make the flat Klein bottle, whose points are in [0, 1]^2."""
    return _scaled(_load("geometry.klein_bottle").KleinBottle(), period)


def poincare_ball(dim: int, curvature: float) -> Any:
    """Make hyperbolic space of a curvature < 0, whose points are in the unit ball."""
    return _scaled(_load("geometry.poincare_ball").PoincareBall(dim), 1 / math.sqrt(-curvature))


def product(spaces: Sequence[Any]) -> Any:
    """Make the Riemannian product, whose points are those of its factors one after the other."""
    return _load("geometry.product_manifold").ProductManifold(spaces, point_ndim=1)


def distance(space: Any, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Compute d(x_i, y_i) by the metric of a space, in float64 with every backend."""
    backend = _load("backend")
    with _computing():
        return _numbers(space.metric.dist(backend.array(x), backend.array(y)))


def uniform(space: Any, n: int, seed: int) -> np.ndarray:
    """Draw n points by the uniform law of a sphere or of a product of spheres.

    geomstats draws from the global generator of its backend, NumPy's or torch's. It is seeded for the draw and gets its
    state back afterwards. The bits depend on the seed and the backend alone, provided that no other thread draws from
    the same global generator at the same time.

    Args:
        space: of `sphere`, `torus`, or `product` of these.
        n: number of points, >= 0.
        seed: 0 <= seed < 2^63.

    Returns:
        (n, k), float64.
    """
    shape = (n, *space.shape)
    if n == 0:  # geomstats 2.8 cannot draw no point of a product.
        return np.empty(shape)
    generator = _seeded_torch if _backend_is_torch() else _seeded_numpy
    with _DRAWING, generator(seed):
        return _numbers(space.random_point(n)).reshape(shape)


def geodesics(space: Any, x: np.ndarray, y: np.ndarray, times: np.ndarray) -> np.ndarray:
    """Compute points of the shortest geodesics from x_i (n, k) to y_i at the times t of [0, 1]: (n, t, k), float64."""
    backend = _load("backend")
    with _computing():
        curve = space.metric.geodesic(initial_point=backend.array(x), end_point=backend.array(y))
        return _numbers(curve(backend.array(times))).reshape(len(x), len(times), -1)


def logarithms(space: Any, base: np.ndarray, points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Compute the shortest tangent vectors from each base point (n, k) to all points (b, k), and the distances.

    Returns:
        (n, b, k) and (n, b), float64. Of antipodes on a sphere, the vector means nothing and the distance is right.
    """
    backend = _load("backend")
    shape = (len(base), len(points))
    with _computing():
        starts = backend.array(np.repeat(base, len(points), axis=0))
        ends = backend.array(np.tile(points, (len(base), 1)))
        vectors = space.metric.log(ends, starts)
        lengths = space.metric.dist(starts, ends)
        return _numbers(vectors).reshape(*shape, -1), _numbers(lengths).reshape(shape)


def exponentials(space: Any, base: np.ndarray, vectors: np.ndarray) -> np.ndarray:
    """Compute exp_x(v) of each base point (n, k) and its tangent vector (n, k): (n, k), float64."""
    backend = _load("backend")
    with _computing():
        return _numbers(space.metric.exp(backend.array(vectors), backend.array(base))).reshape(base.shape)


@contextlib.contextmanager
def _computing() -> Iterator[None]:
    with _process_left_as_found():
        if not _backend_is_torch():
            yield
            return
        with _in_double(), torch.device("cpu"):
            yield


@contextlib.contextmanager
def _in_double() -> Iterator[None]:
    """Make float64 torch's default inside, as geomstats' PyTorch backend does when it is imported."""
    dtype = torch.get_default_dtype()
    try:
        torch.set_default_dtype(torch.float64)
        yield
    finally:
        torch.set_default_dtype(dtype)


def _backend_is_torch() -> bool:
    return _load("backend").__name__.endswith("pytorch")


def _numbers(array: Any) -> np.ndarray:
    return np.asarray(_load("backend").to_numpy(array), dtype=np.float64)


@contextlib.contextmanager
def _seeded_numpy(seed: int) -> Iterator[None]:
    state = np.random.get_state()  # noqa: NPY002  # the global generator is the one that geomstats draws from
    try:
        np.random.seed([seed & 0xFFFFFFFF, seed >> 32])  # noqa: NPY002
        yield
    finally:
        np.random.set_state(state)  # noqa: NPY002


@contextlib.contextmanager
def _seeded_torch(seed: int) -> Iterator[None]:
    """Seed torch's generator of the CPU alone: `torch.manual_seed` would seed those of every device."""
    generator = torch.default_generator
    state = generator.get_state()
    try:
        generator.manual_seed(seed)
        with _in_double(), torch.device("cpu"):
            yield
    finally:
        generator.set_state(state)
