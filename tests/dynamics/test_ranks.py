"""Effective ranks of matrices whose rank is known."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from riemod.dynamics.ranks import effective_rank, participation_ratio
from tests.dynamics.test_jacobians import orthogonal
from tests.dynamics.test_recurrent_map import normal
from tests.strategies import seeds


@given(seed=seeds, scale=st.floats(1e-6, 1e6))
def test_ranks_are_their_definitions_whatever_the_scale(seed, scale):
    matrix = normal(5, 8, seed=seed)
    values = torch.linalg.svdvals(matrix)
    share = values / values.sum()
    expected = math.exp(-sum(p * math.log(p) for p in share.tolist()))
    assert effective_rank(scale * matrix).item() == pytest.approx(expected, rel=1e-9)
    ratio = values.square().sum() ** 2 / values.pow(4).sum()
    assert participation_ratio(scale * matrix).item() == pytest.approx(ratio.item(), rel=1e-9)


def test_ranks_of_known_matrices():
    vector = normal(6)
    batch = torch.stack(
        (orthogonal(6, 0), vector[:, None] * vector, torch.diag(torch.tensor([3.0, 1, 0, 0, 0, 0]).double()))
    )
    expected = torch.tensor([6.0, 1.0, math.exp(-(0.75 * math.log(0.75) + 0.25 * math.log(0.25)))]).double()
    torch.testing.assert_close(effective_rank(batch), expected)
    torch.testing.assert_close(participation_ratio(batch), torch.tensor([6.0, 1.0, 100 / 82]).double())


def test_participation_counts_the_dimensions_of_states_that_share_the_variance():
    states = normal(20_000, 3) @ orthogonal(30, 1)[:3]
    assert participation_ratio(states - states.mean(0)).item() == pytest.approx(3.0, rel=0.01)


def test_matrices_without_a_rank_are_refused():
    with pytest.raises(ValueError, match="matrix must not be zero"):
        effective_rank(torch.zeros(2, 2))
    with pytest.raises(ValueError, match="matrix must be finite"):
        participation_ratio(torch.full((2, 2), torch.nan))
    with pytest.raises(ValueError, match="matrix must have the shape"):
        effective_rank(torch.zeros(0, 2))
