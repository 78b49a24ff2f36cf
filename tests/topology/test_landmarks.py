"""Max-min landmarks cover the points and keep apart."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.spatial.distance import cdist

from riemod.topology import landmarks

seeds = st.integers(0, 2**32 - 1)


def cloud(seed: int, n: int = 25, dim: int = 3) -> np.ndarray:
    return np.random.default_rng(seed).uniform(size=(n, dim))


@given(seeds, st.integers(1, 25), st.integers(0, 24))
def test_landmarks_cover_and_keep_apart(seed: int, count: int, start: int) -> None:
    points = cloud(seed)
    chosen, radius = landmarks(points, count, start=start)
    between = cdist(points[chosen], points[chosen])[~np.eye(count, dtype=bool)]
    assert chosen[0] == start
    assert len(set(chosen.tolist())) == count
    assert cdist(points, points[chosen]).min(axis=1).max() == pytest.approx(radius)
    assert radius <= between.min(initial=np.inf) * (1 + 1e-12)
    same, _ = landmarks(cdist(points, points), count, start=start, metric="precomputed")
    np.testing.assert_array_equal(chosen, same)


def test_landmarks_leave_duplicates_out() -> None:
    chosen, radius = landmarks(np.repeat(cloud(0, 4), 3, axis=0), 10)
    assert (len(chosen), radius) == (4, 0.0)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"count": 0}, "count must be an integer from 1 to 25, got 0"),
        ({"count": 26}, "count must be an integer from 1 to 25, got 26"),
        ({"count": 3, "start": 25}, "start must be an integer from 0 to 24, got 25"),
        ({"count": 3, "metric": "geodesic"}, "metric must be 'euclidean' or 'precomputed', got 'geodesic'"),
    ],
)
def test_bad_options(options: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        landmarks(cloud(0), **options)  # pyright: ignore[reportArgumentType]
