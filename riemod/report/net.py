"""A run's net as its last checkpoint left it: hidden weights, points of the units, and the order of both."""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from riemod.inspection.navigation import NavigationArena
from riemod.inspection.stored import Arrays
from riemod.manifolds import Manifold, curve_order
from riemod.regularization.weights import recurrent_weights
from riemod.sparse import order_neurons
from riemod.training import Run

__all__ = ["Net", "Partners", "net_of", "strongest"]


@dataclass(frozen=True)
class Net:
    """Holds the hidden weights of a net's first recurrent layer, and the points of its units, if they have any."""

    weight: np.ndarray
    """(n, n), the sum over gates; rows are targets, columns sources."""
    gates: int
    order: np.ndarray
    """(n,), the units in geometric order."""
    ordered_by: str
    """What the order follows, to end a sentence."""
    manifold: Manifold | None
    points: Tensor | None
    """(n, coordinate_dim), on the CPU."""
    learned: bool
    epoch: int
    """Number of epochs that were trained."""
    layers: int
    """Number of recurrent layers; the first one is shown."""


@dataclass(frozen=True)
class Partners:
    """Holds, for each unit, the units of its strongest weights."""

    units: np.ndarray
    """(n, k), the strongest first."""
    weights: np.ndarray
    """(n, k); 0 where there is no further weight."""


def net_of(run: Run, arena: NavigationArena | None, arrays: Arrays | None) -> Net:
    """Return the net of a run.

    Units are in order along the manifold of their points, or else along the arena by where they are most active, or
    else as they are numbered.

    Args:
        run: loaded.
        arena: of navigation, else None.
        arrays: of the analysis, with the places, if there is one.
    """
    tensors = [weight.tensor.detach().double().cpu() for weight in recurrent_weights(run.model)]
    size = tensors[0].shape[1]
    gates = tensors[0].reshape(-1, size, size)
    embeddings = [] if run.moduli is None else run.moduli.layer_embeddings(0)
    # A list of modules, or points of another layer, have no single picture.
    embedding = embeddings[0] if len(embeddings) == 1 and embeddings[0].size == size else None
    order, by = np.arange(size), "in the order of their numbers, for nothing says which are near"
    if embedding is not None and _has_chart(embedding.manifold, embedding.points):
        order, by = order_neurons(embedding).cpu().numpy(), "along a curve through their points"
    elif arena is not None and arrays is not None and arrays.places is not None and arrays.units is not None:
        order, by = (
            _by_place(arrays, arena.manifold, size),
            "along a curve through the places where they are most active",
        )
    return Net(
        gates.sum(0).numpy(),
        len(gates),
        order,
        by,
        None if embedding is None else embedding.manifold,
        None if embedding is None else embedding.points.detach().cpu(),
        embedding is not None and embedding.points.requires_grad,
        run.epoch,
        len(tensors),
    )


def strongest(matrix: np.ndarray, count: int) -> Partners:
    """Return the entries of largest magnitude in each row of a weight matrix, without the diagonal.

    Args:
        matrix: (n, n).
        count: how many at most.

    >>> strongest(np.array([[9.0, 1.0, -2.0], [0.0, 9.0, 0.0], [1.0, 0.0, 9.0]]), 1).units.ravel().tolist()
    [2, 0, 0]
    """
    others = np.abs(matrix)
    np.fill_diagonal(others, -1)
    count = min(count, len(matrix) - 1)
    # The largest ones first, and only these in order: sorting whole rows of a large net would take long.
    found = np.sort(
        np.argpartition(-others, count - 1, axis=1)[:, :count] if count else others[:, :0].astype(int), axis=1
    )
    within = np.argsort(-np.take_along_axis(others, found, axis=1), axis=1, kind="stable")
    found = np.take_along_axis(found, within, axis=1)
    return Partners(found, np.take_along_axis(matrix, found, axis=1))


def _has_chart(manifold: Manifold, points: Tensor) -> bool:
    """Return whether a curve can be laid through a manifold, which needs a chart of it."""
    try:
        manifold.chart(points.detach()[:1].double())
    except TypeError:
        return False
    return True


def _by_place(arrays: Arrays, manifold: Manifold, size: int) -> np.ndarray:
    """Return the units in the order of a curve through their places, and after them those without a place."""
    assert arrays.places is not None
    assert arrays.units is not None
    known = np.isfinite(arrays.places).all(axis=1)
    along = curve_order(torch.from_numpy(arrays.places[known]), manifold).numpy()
    first = arrays.units[known][along]
    return np.concatenate([first, np.setdiff1d(np.arange(size), first)])
