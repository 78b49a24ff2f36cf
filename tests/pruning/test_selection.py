import hypothesis.extra.numpy as hnp
import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from riemod.pruning.selection import drop_smallest, keep_floor

SHAPES = hnp.array_shapes(min_dims=1, max_dims=3, max_side=6)
FLOATS = st.floats(allow_nan=False, allow_infinity=False, width=32)
TIED = st.sampled_from([0.0, -0.0, 1.0, -1.0, 2.0])


@st.composite
def pools(draw):
    weights, masks = [], []
    for _ in range(draw(st.integers(1, 3))):
        shape = draw(SHAPES)
        dtype = draw(st.sampled_from([np.float32, np.float64]))
        values = draw(hnp.arrays(dtype, shape, elements=draw(st.sampled_from([FLOATS, TIED]))))
        weights.append(torch.from_numpy(values))
        masks.append(torch.from_numpy(draw(hnp.arrays(np.bool_, shape))))
    total = sum(weight.numel() for weight in weights)
    return weights, masks, draw(st.integers(0, total))


def by_sorting(weights, masks, count):
    kept = torch.cat([mask.flatten() for mask in masks]).tolist()
    size = torch.cat([weight.double().abs().flatten() for weight in weights]).tolist()
    order = sorted(range(len(kept)), key=lambda index: (kept[index], size[index] if kept[index] else 0, index))
    result = torch.ones(len(kept), dtype=torch.bool)
    result[order[: max(count, kept.count(False))]] = False
    pieces = result.split([mask.numel() for mask in masks])
    return [piece.view(mask.shape) for piece, mask in zip(pieces, masks, strict=True)]


@given(pools())
def test_agrees_with_sorting(pool):
    weights, masks, count = pool
    before = [mask.clone() for mask in masks]
    found = drop_smallest(weights, masks, count)
    for mask, expected, old, given_mask in zip(found, by_sorting(*pool), before, masks, strict=True):
        assert torch.equal(mask, expected)
        assert torch.equal(old, given_mask)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
def test_many_weights_of_each_dtype(dtype):
    weights = [torch.randn(300, 301).to(dtype), torch.randn(77, 5).to(dtype)]
    masks = [torch.rand(weight.shape) > 0.2 for weight in weights]
    for mask, expected in zip(drop_smallest(weights, masks, 50_000), by_sorting(weights, masks, 50_000), strict=True):
        assert torch.equal(mask, expected)


def test_neighboring_doubles_are_told_apart():
    weight = torch.tensor([1 + 2**-51, 1.0, 1 + 2**-52], dtype=torch.float64)
    (mask,) = drop_smallest([weight], [weight > 0], 2)
    assert mask.tolist() == [True, False, False]


def test_subnormal_weights_are_told_apart():
    weight = torch.tensor([3e-45, 0.0, 1e-45, 1e-39])
    (mask,) = drop_smallest([weight], [torch.ones(4, dtype=torch.bool)], 3)
    assert mask.tolist() == [False, False, False, True]


def test_ties_go_by_flat_index_of_a_transposed_tensor():
    weight = torch.ones(3, 2).t()
    (mask,) = drop_smallest([weight], [torch.ones(2, 3, dtype=torch.bool)], 4)
    assert mask.tolist() == [[False, False, False], [False, True, True]]


@given(pools(), st.integers(0, 4))
def test_a_floor_holds_and_changes_nothing_where_it_is_not_needed(pool, floor):
    weights, masks, count = pool
    plain = drop_smallest(weights, masks, count)
    floored = keep_floor(weights, masks, plain, floor)
    least = [min(floor, int(mask.sum())) for mask in masks]
    assert sum(int(mask.sum()) for mask in floored) == sum(int(mask.sum()) for mask in plain)
    assert all(not (new & ~old).any() for new, old in zip(floored, masks, strict=True))
    if all(int(mask.sum()) >= own for mask, own in zip(plain, least, strict=True)):
        assert all(torch.equal(one, other) for one, other in zip(plain, floored, strict=True))
    if count + sum(least) <= sum(mask.numel() for mask in masks):
        assert all(int(mask.sum()) >= own for mask, own in zip(floored, least, strict=True))
    # In each tensor those that stay are the largest.
    for weight, old, new in zip(weights, masks, floored, strict=True):
        assert torch.equal(new, drop_smallest([weight], [old], int((~new).sum()))[0])


@pytest.mark.parametrize("shape", [(3, 128), (128, 3), (3, 16, 8)])
def test_each_of_a_few_rows_or_columns_keeps_its_largest_weight(shape):
    small, large = torch.randn(shape) / 100, torch.randn(100, 100) + 5
    weights, masks = [large, small], [torch.ones(weight.shape, dtype=torch.bool) for weight in (large, small)]
    count = large.numel() + small.numel() - 300
    plain = drop_smallest(weights, masks, count)
    assert not plain[1].any()
    floored = keep_floor(weights, masks, plain, 1)
    assert sum(int(mask.sum()) for mask in floored) == 300
    few = (small.T if shape == (128, 3) else small.flatten(1)).abs()
    kept = (floored[1].T if shape == (128, 3) else floored[1].flatten(1)).nonzero().tolist()
    assert kept == [[row, int(few[row].argmax())] for row in range(3)]
    # 299 that stay are less than 100 for each: then it is the largest of all.
    floored = keep_floor(weights, masks, drop_smallest(weights, masks, count + 1), 1)
    assert int(floored[1].sum()) == 1
    assert floored[1].flatten()[small.abs().argmax()]
    # A row that was empty before stays so, and equal weights keep the last.
    masks[1].flatten(1)[0] = False
    weights[1] = torch.ones(shape) / 100
    floored = keep_floor(weights, masks, drop_smallest(weights, masks, count), 1)
    assert not (floored[1] & ~masks[1]).any()
    assert torch.equal(floored[1], drop_smallest([weights[1]], [floored[1]], 0)[0])
