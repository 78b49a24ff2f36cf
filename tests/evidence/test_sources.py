"""Sources of evidence against plain formulas in float64, and their symmetries."""

from collections.abc import Callable

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from riemod import ModuliRegularizer, PointEvidence
from riemod.evidence import (
    Coactivity,
    DecoderCosine,
    Mixed,
    Permuted,
    Profiles,
    absolute_weights,
    evidence_by_name,
    incoming_cosine,
    signed_weights,
)
from riemod.evidence.sources import normalized
from riemod.manifolds import Torus
from tests.strategies import generator, seeds

SOURCES = (absolute_weights, signed_weights, incoming_cosine)


@given(seeds, st.integers(1, 4), st.integers(2, 7))
def test_they_are_the_formulas_and_follow_a_permutation(seed: int, gates: int, n: int) -> None:
    w = torch.randn(gates, n, n, generator=generator(seed), dtype=torch.float64)
    flat = torch.cat(list(w), 1)
    cosines = torch.tensor(
        [[float(torch.dot(a, b) / (a.norm() * b.norm())) for b in flat] for a in flat], dtype=torch.float64
    )
    expected = [w.abs().sum(0) + w.abs().sum(0).T, w.sum(0) + w.sum(0).T, cosines]
    order = torch.randperm(n, generator=generator(seed))
    for source, formula in zip(SOURCES, expected, strict=True):
        found = source(w)
        torch.testing.assert_close(found, formula)
        torch.testing.assert_close(found, found.T)
        torch.testing.assert_close(source(w[:, order][:, :, order]), found[order][:, order])


def test_rows_of_zeros_have_no_cosine() -> None:
    w = torch.randn(1, 4, 4)
    w[0, 2] = 0
    found = incoming_cosine(w)
    assert found.isfinite().all()
    assert not found[2].any()


@given(seeds, st.floats(1e-6, 1e6))
def test_a_mix_is_the_sum_of_normalized_parts_and_ignores_their_size(seed: int, size: float) -> None:
    torch.manual_seed(seed % 2**31)
    rnn = nn.GRU(2, 6, dtype=torch.float64)
    moduli = ModuliRegularizer(rnn, Torus(2), learn=True, generator=generator(0))
    blocks = rnn.weight_hh_l0.detach().unflatten(0, (3, 6))
    mix = Mixed([lambda w: size * signed_weights(w), incoming_cosine], shares=[3, 1])
    expected = 0.75 * normalized(signed_weights(blocks)) + 0.25 * normalized(incoming_cosine(blocks))
    torch.testing.assert_close(PointEvidence(moduli, mix).matrix(), expected, atol=1e-12, rtol=1e-9)


def test_a_normalized_matrix_has_magnitude_one_and_no_diagonal() -> None:
    matrix = normalized(torch.tensor([[5.0, -1.0], [3.0, 7.0]]))
    assert torch.equal(matrix, torch.tensor([[0.0, -0.25], [0.75, 0.0]]))
    assert not normalized(torch.zeros(3, 3)).any()


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Mixed([signed_weights], shares=[0.0]), "shares must be 1 finite numbers > 0"),
        (lambda: Mixed([signed_weights], shares=[1.0, 2.0]), "shares must be 1 finite numbers > 0"),
        (lambda: Mixed([signed_weights], shares=[10**400]), "shares must be 1 finite numbers > 0"),
        (lambda: Mixed([]), "sources must hold at least one source, got none"),
        (lambda: Profiles([]), "source must hold at least one source, got none"),
        (lambda: Permuted(signed_weights, 2**63), "seed must be an integer from 0 to 9223372036854775807"),
        (lambda: signed_weights(torch.zeros(4, 4)), r"weight must have the shape \(gates, n, n\), got \(4, 4\)"),
        (lambda: incoming_cosine(torch.zeros(1, 3, 4)), r"weight must have the shape \(gates, n, n\), got \(1, 3, 4\)"),
        (lambda: Coactivity(forget=-0.1), r"forget must be in \[0, 1\), got -0.1"),
        (lambda: evidence_by_name("states"), "evidence must be 'weights', 'absolute', 'signed', 'cosine'"),
    ],
)
def test_bad_numbers_and_names_are_named(make: object, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make()


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (
            lambda: Mixed([signed_weights, None]),
            "sources must be a Source or a function of the hidden blocks, got None",
        ),
        (lambda: Mixed(signed_weights), "sources must be a list of sources, got function"),
        (lambda: Mixed([signed_weights], shares=1.0), "shares must be a list of numbers, got float"),
        (lambda: Permuted(lambda: None), "source must be a Source or a function of the hidden blocks, got <function"),
        (lambda: absolute_weights(torch.ones(1, 2, 2).bool()), "weight must be floating-point, got torch.bool"),
        (lambda: DecoderCosine(nn.Linear), "decoder must be an nn.Linear, got the class Linear"),
    ],
)
def test_what_is_no_source_is_named(make: Callable[[], object], message: str) -> None:
    with pytest.raises(TypeError, match=message):
        make()


def test_a_decoder_of_nan_is_named() -> None:
    decoder = nn.Linear(6, 3)
    nn.init.constant_(decoder.weight, torch.nan)
    moduli = ModuliRegularizer(nn.RNN(2, 6), Torus(2), learn=True, generator=generator(0))
    with pytest.raises(ValueError, match="decoder must have finite weights, got NaN or infinity"):
        PointEvidence(moduli, DecoderCosine(decoder))()
