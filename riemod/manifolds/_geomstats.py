"""geomstats' manifolds with metrics in riemod's units, and their distances. No other file imports geomstats.

geomstats 2.8 needs `numpy.trapz`, which NumPy 2.4 has dropped. Its import sets up the root logger and, with its PyTorch
backend, changes torch's default dtype. The functions here restore the state of the process. geomstats chooses its
backend once, from the environment variable GEOMSTATS_BACKEND, and takes NumPy if it is not set.
"""

import contextlib
import importlib
import logging
import math
import warnings
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import torch


@contextlib.contextmanager
def _process_left_as_found() -> Iterator[None]:
    dtype, root = torch.get_default_dtype(), logging.getLogger()
    level, handlers = root.level, list(root.handlers)
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
    with _process_left_as_found():
        return np.asarray(backend.to_numpy(space.metric.dist(backend.array(x), backend.array(y))), dtype=np.float64)
