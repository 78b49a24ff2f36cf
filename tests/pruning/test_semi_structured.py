"""2:4 masks: the best two of every four, in the pattern that torch's own conversion keeps without loss."""

import itertools

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.sparse._semi_structured_conversions import (
    sparse_semi_structured_from_dense_cutlass,
    sparse_semi_structured_to_dense_cutlass,
)

from riemod import ModuliRegularizer
from riemod.manifolds import Torus
from riemod.masks import apply_masks
from riemod.pruning import geometric_prior, semi_structured_mask, semi_structured_weight
from tests.strategies import generator, seeds


def best_pairs(scores: Tensor) -> Tensor:
    """Of every four the pair of the largest sum, the first of equal ones, by trying all six."""
    mask = torch.zeros(scores.shape, dtype=torch.bool)
    for row, start in itertools.product(range(scores.shape[0]), range(0, scores.shape[1], 4)):
        pairs = itertools.combinations(range(start, start + 4), 2)
        # Sums of two would round: the larger, then the smaller of a pair decides alike.
        best = max(pairs, key=lambda pair: sorted((scores[row, column].item() for column in pair), reverse=True))
        mask[row, list(best)] = True
    return mask


@given(seeds, st.integers(1, 5), st.integers(1, 4), st.sampled_from([torch.float32, torch.bfloat16]), st.booleans())
def test_the_best_two_of_four_are_kept(seed: int, rows: int, groups: int, dtype: torch.dtype, tied: bool):
    weight = torch.randn(rows, 4 * groups, generator=generator(seed)).to(dtype)
    weight = weight.round() if tied else weight
    mask = semi_structured_mask(weight)
    assert bool((mask.unflatten(1, (-1, 4)).sum(-1) == 2).all())
    assert torch.equal(mask, best_pairs(weight.abs()))


def test_geometry_guides_it_in_every_gate():
    rnn = nn.LSTM(2, 16)
    moduli = ModuliRegularizer(rnn, Torus(2), generator=generator(0))
    costs, weight = moduli.coefficients(), rnn.weight_hh_l0.detach()
    mask = semi_structured_mask(weight, costs, temperature=10.0)
    scores = weight.abs().double() * geometric_prior(costs, 10.0).repeat(4, 1)
    assert torch.equal(mask, best_pairs(scores))
    assert not torch.equal(mask, semi_structured_mask(weight))
    assert (costs.repeat(4, 1)[mask]).mean() < (costs.repeat(4, 1)[semi_structured_mask(weight)]).mean()
    alone = semi_structured_mask(torch.ones(16, 16), costs)
    assert torch.equal(alone, best_pairs(-costs))
    apply_masks(rnn, {"weight_hh_l0": mask})
    assert int(rnn.weight_hh_l0.count_nonzero()) == weight.numel() // 2


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_torch_s_own_conversion_keeps_such_a_matrix_whole(dtype: torch.dtype):
    weight = torch.randn(64, 128, generator=generator(0)).to(dtype)
    kept = weight * semi_structured_mask(weight)
    assert torch.equal(sparse_semi_structured_to_dense_cutlass(*sparse_semi_structured_from_dense_cutlass(kept)), kept)


def test_in_float32_torch_s_conversion_would_lose_weights():
    weight = torch.randn(64, 128, generator=generator(0))
    kept = weight * semi_structured_mask(weight)
    again = sparse_semi_structured_to_dense_cutlass(*sparse_semi_structured_from_dense_cutlass(kept))
    assert not torch.equal(again, kept)
    with pytest.raises(TypeError, match=r"weight must be a float16 or bfloat16 tensor, got torch\.float32"):
        semi_structured_weight(kept)


def test_bad_input_is_named():
    good = torch.ones(4, 8)
    for weight, error, message in [
        (torch.ones(4, 6), ValueError, r"multiple of 4 columns, got shape \(4, 6\)"),
        (torch.ones(8), ValueError, r"matrix .* got shape \(8,\)"),
        (torch.ones(0, 4), ValueError, r"got shape \(0, 4\)"),
        (torch.full((1, 4), float("nan")), ValueError, "finite"),
        (torch.ones(4, 8, dtype=torch.int64), TypeError, "floating-point tensor, got torch.int64"),
        ([1.0], TypeError, "got list"),
    ]:
        with pytest.raises(error, match=message):
            semi_structured_mask(weight)
    for shape in ((4, 4), (3, 8), (0, 8), (8,)):
        with pytest.raises(ValueError, match=r"costs must be \(n, m\) .* shape \(4, 8\), got shape"):
            semi_structured_mask(good, torch.ones(shape))
    with pytest.raises(ValueError, match="temperature must be above 0"):
        semi_structured_mask(good, good, temperature=0.0)


def test_what_cannot_be_compressed_is_named():
    kept = torch.tensor([1.0, 0.0, 2.0, 0.0], dtype=torch.float16).repeat(32, 16)
    with pytest.raises(ValueError, match=r"weight must be on a CUDA device, .* got cpu"):
        semi_structured_weight(kept)
    with pytest.raises(TypeError, match="weight must be a dense tensor of real numbers, got a tensor without numbers"):
        semi_structured_weight(kept.to("meta"))
    full = kept.clone()
    full[3, 4:8] = 1
    full[5, 0:4] = 1
    with pytest.raises(ValueError, match="but 2 groups have more, the first in row 3 from column 4"):
        semi_structured_weight(full)
    with pytest.raises(
        ValueError, match=r"rows in multiples of 16, columns of 16, for cusparselt, got shape \(24, 64\)"
    ):
        semi_structured_weight(kept[:24])
    with pytest.raises(ValueError, match="contiguous"):
        semi_structured_weight(kept.T.contiguous().T)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="torch's 2:4 kernels are for CUDA")
@pytest.mark.filterwarnings("ignore:The PyTorch API of SparseSemiStructuredTensor")
def test_products_on_a_gpu_are_those_of_the_dense_matrix():
    weight = torch.randn(128, 128, generator=generator(0)).half().cuda()
    kept = weight * semi_structured_mask(weight)
    states = torch.randn(64, 128, generator=generator(1)).half().cuda()
    found = nn.functional.linear(states, semi_structured_weight(kept))
    torch.testing.assert_close(found, nn.functional.linear(states, kept), atol=2e-2, rtol=2e-2)
