"""Distances over weight graphs: a metric, that of random walks, and what is refused."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.spatial.distance import cdist

from riemod.alignment import graph_distances


@given(st.integers(0, 2**32 - 1), st.sampled_from(["log", "diffusion"]))
def test_graph_distances_are_a_metric(seed: int, method: str) -> None:
    weight = np.random.default_rng(seed).standard_normal((8, 8))
    found = graph_distances(torch.tensor(weight), method)  # pyright: ignore[reportArgumentType]
    np.testing.assert_allclose(found, found.T)
    assert not found.diagonal().any()
    assert (found[:, None] <= found[:, :, None] + found[None] + 1e-9).all()


def test_diffusion_distance_is_that_of_the_walkers() -> None:
    weight = np.random.default_rng(0).uniform(size=(6, 6))
    affinity = (weight + weight.T) / 2
    np.fill_diagonal(affinity, 0)
    strength = affinity.sum(axis=1)
    walkers = np.linalg.matrix_power(affinity / strength[:, None], 4)
    expected = cdist(walkers / np.sqrt(strength / strength.sum()), walkers / np.sqrt(strength / strength.sum()))
    np.testing.assert_allclose(graph_distances(weight, "diffusion", steps=4), expected, atol=1e-9)


@pytest.mark.parametrize(
    ("weight", "options", "message"),
    [
        (np.ones((2, 3)), {}, "square"),
        (np.full((2, 2), np.nan), {}, "finite"),
        (np.kron(np.eye(2), np.ones((2, 2))), {}, "2 pieces"),
        (np.ones((3, 3)), {"method": "euclidean"}, "method"),
        (np.ones((3, 3)), {"steps": 0.0}, "steps"),
    ],
)
def test_graph_distances_refuse(weight: np.ndarray, options: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        graph_distances(weight, **options)  # pyright: ignore[reportArgumentType]
