"""What few points show: lengths of bars, nulls and rivals of the same number, and early ends."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from analysis import clouds
from riemod.topology import few, nulls
from tests.strategies import generator


def rng(seed: int = 2000) -> np.random.Generator:
    return np.random.default_rng(seed)


def test_lengths_are_the_longest_bars() -> None:
    loops, voids = np.array([[1.0, 2.0], [1.0, 3.0], [2.0, 3.0]]), np.empty((0, 2))
    assert few.lengths([np.empty((0, 2)), loops, voids]) == (3.0, 2.0, 1.0)
    assert few.lengths([voids, voids, loops]) == (1.0, 1.0, 3.0)


@settings(max_examples=10)
@given(st.floats(1e-3, 1e3), st.integers(0, 2**32 - 1))
def test_scale_and_place_do_not_matter(scale: float, seed: int) -> None:
    points = clouds.noisy(clouds.sphere)(50, rng(seed))
    first = few.measure(points, "euclidean", generator(0))
    assert few.measure(scale * points + 3.0, "euclidean", generator(0)) == pytest.approx(first, rel=1e-4)


def test_all_of_few_points_are_used_and_more_are_thinned_evenly() -> None:
    for size, used in ((40, 40), (few.MOST_FEW, few.MOST_FEW), (499, few.MOST_FEW)):
        distances = few.near_all(rng().standard_normal((size, 3)), "euclidean", generator(0))
        assert distances.shape == (used, used)


@given(st.integers(1, 8), st.integers(0, 2**32 - 1))
def test_size_and_noise(width: int, seed: int) -> None:
    """A plane in more coordinates, with the same noise in each."""
    points = np.pad(3.0 * rng(seed).standard_normal((4000, 1)), ((0, 0), (0, width - 1)))
    size, noise = few.size_and_noise(points + 0.2 * rng(seed + 1).standard_normal(points.shape))
    assert noise == pytest.approx(0.2 if width > 4 else 0.0, abs=0.02)
    assert size == pytest.approx(3.0, rel=0.1)


def test_planted_shapes_have_the_size_and_the_noise_of_the_data() -> None:
    data = np.pad(5.0 * clouds.sphere(3000, rng()), ((0, 0), (0, 5))) + 0.3 * rng(1).standard_normal((3000, 8))
    planted = few.planted(nulls.uniform_ball(3000, 2, generator(0)), data, generator(1))
    assert few.size_and_noise(planted) == pytest.approx(few.size_and_noise(data), rel=0.05)
    assert planted.shape == data.shape


def test_three_spheres_are_those_of_their_seed() -> None:
    first = few.three_sphere(40, "euclidean", 3)
    assert few.three_sphere(40, "euclidean", 3) is first
    assert few.three_sphere(40, "euclidean", 4) != first


def ranks(lengths: tuple[float, float, float], rival: tuple[float, float, float]) -> few.Ranks:
    return few.Ranks([np.array([lengths] * 19)], {2: np.array([rival] * 19), 3: np.array([lengths] * 19)})


def test_two_spheres_are_no_rivals_of_voids() -> None:
    drawn = ranks((1.5, 1.4, 1.2), (2.0, 1.6, 1.8))
    found = few.Lengths(1.9, 1.5, 1.7)
    assert [drawn.p_value(found, name) for name in few.Lengths._fields] == [1.0, 1.0, 0.05]
    assert [drawn.floor(name) for name in few.Lengths._fields] == [2.0, 1.6, 1.2]


@pytest.mark.parametrize(("length", "product", "drawn"), [(2.0, False, 60), (1.0, False, 20), (1.0, True, 60)])
def test_draws_end_where_nothing_can_reach_significance(length: float, product: bool, drawn: int) -> None:
    """A second loop that is long matters if it has a product."""
    found = {prime: few.Lengths(length, 3.0, 1.0) for prime in (2, 3)}
    reading = few.Reading(1, found, product, {}, 1.0)
    null = few.Lengths(1.5, 1.5, 1.5)
    result = few.rank(
        reading, lambda kind, seeds: [null] * len(seeds), 2, 60, 0.05, lambda dim, seed: null, generator(0)
    )
    assert [len(kind) for kind in (*result.kinds, *result.rivals.values())] == [drawn] * 4


def test_gaps_are_seen_between_few_points() -> None:
    two = np.concatenate([clouds.circle(60, rng()), 8 + clouds.circle(60, rng(1))])
    one = clouds.circle(60, rng())
    assert few.read(two, "euclidean", generator(0)).pieces == 2
    assert few.read(one, "euclidean", generator(0)).pieces == 1
