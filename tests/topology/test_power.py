"""How many points are enough: the table is that of the study's records, and noise is read off the data."""

import numpy as np
import pytest

from analysis import few_points, small_nets
from riemod.topology import power


def test_the_table_is_that_of_the_records() -> None:
    assert few_points.enough_table(small_nets.read(few_points.FILE, few_points.NAMES)) == power.ENOUGH


def test_more_noise_needs_more_points() -> None:
    for rows in power.ENOUGH.values():
        sizes = [np.inf if points is None else points for _, points in rows]
        assert sizes == sorted(sizes)
        assert [noise for noise, _ in rows] == sorted(noise for noise, _ in rows)


@pytest.mark.parametrize("noise", few_points.LEVELS)
def test_planted_noise_finds_its_own_row(noise: float) -> None:
    column = few_points.LEVELS.index(noise)
    for cloud in few_points.CLOSED:
        name = str(few_points.CLOUDS[cloud][0])
        drawn = few_points.draw(cloud, 300, noise, 4000)
        rows = power.ENOUGH[name]
        # A level that was not tried, the torus' last one, needs more points than were tried.
        assert power.needed_points(drawn)[name] == (rows[column][1] if column < len(rows) else None)


def test_points_without_size_or_with_much_noise_need_more_than_was_tried() -> None:
    noise = np.random.default_rng(0).standard_normal((200, 12))
    assert set(power.needed_points(noise).values()) == {None}
    assert set(power.needed_points(np.ones((20, 5))).values()) == {None}
