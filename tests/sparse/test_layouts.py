"""Products and gradients of every layout against the dense product in float64."""

import copy
from collections.abc import Callable

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from riemod.sparse import BlockMatrix, CSRMatrix, DenseMatrix, StoredMatrix
from riemod.sparse.kernels import block_order
from tests.strategies import generator, seeds

Layout = Callable[[Tensor, Tensor], StoredMatrix]
LAYOUTS: dict[str, Layout] = {
    "dense": DenseMatrix,
    "csr": CSRMatrix.of,
    "block1": lambda weight, kept: BlockMatrix.of(weight, kept, 1),
    "block4": lambda weight, kept: BlockMatrix.of(weight, kept, 4),
    "block32": lambda weight, kept: BlockMatrix.of(weight, kept, 32),
}
sizes = st.integers(min_value=1, max_value=40)


def pruned(rows: int, columns: int, density: float, seed: int) -> tuple[Tensor, Tensor]:
    draws = generator(seed)
    kept = torch.rand(rows, columns, generator=draws) < density
    return torch.randn(rows, columns, generator=draws, dtype=torch.float64) * kept, kept


@pytest.mark.parametrize("layout", LAYOUTS.values(), ids=LAYOUTS)
@settings(max_examples=40)
@given(rows=sizes, columns=sizes, batch=st.integers(1, 20), density=st.sampled_from([0.0, 0.05, 0.5, 1.0]), seed=seeds)
def test_products_and_gradients_are_the_dense_ones(
    layout: Layout, rows: int, columns: int, batch: int, density: float, seed: int
):
    weight, kept = pruned(rows, columns, density, seed)
    matrix = layout(weight, kept)
    assert torch.equal(matrix.dense(), weight)
    h = torch.randn(columns, batch, dtype=torch.float64, requires_grad=True)
    upstream = torch.randn(rows, batch, dtype=torch.float64)
    product = matrix.bind()(h)
    with torch.no_grad():
        torch.testing.assert_close(matrix.bind()(h), weight @ h)
    torch.testing.assert_close(product, weight @ h)
    for_values, for_h = torch.autograd.grad(product, (matrix.values, h), upstream)
    torch.testing.assert_close(for_h, weight.t() @ upstream)
    # The gradient stored as the weight is stored: pruned entries inside of blocks have none.
    torch.testing.assert_close(for_values, layout(upstream @ h.detach().t() * kept, kept).values.detach())


@pytest.mark.parametrize("layout", LAYOUTS.values(), ids=LAYOUTS)
def test_gradients_pass_the_numerical_check(layout: Layout):
    matrix = layout(*pruned(9, 7, 0.4, 0))
    h = torch.randn(7, 3, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda _, h: matrix.bind()(h), (matrix.values, h))


@pytest.mark.parametrize("layout", ["csr", "block4"])
def test_a_second_derivative_is_refused(layout: str):
    matrix = LAYOUTS[layout](*pruned(8, 8, 0.4, 0))
    h = torch.randn(8, 3, dtype=torch.float64, requires_grad=True)
    (gradient,) = torch.autograd.grad(matrix.bind()(h).square().sum(), h, create_graph=True)
    with pytest.raises(RuntimeError, match="differentiate twice"):
        gradient.sum().backward()


@pytest.mark.parametrize("layout", LAYOUTS.values(), ids=LAYOUTS)
def test_the_product_follows_values_that_were_changed_loaded_and_copied(layout: Layout):
    weight, kept = pruned(12, 12, 0.3, 1)
    matrix, other = layout(weight, kept), layout(*pruned(12, 12, 0.3, 1))
    h = torch.randn(12, 2, dtype=torch.float64)
    matrix.bind()(h)
    with torch.no_grad():
        matrix.values.mul_(2)
    torch.testing.assert_close(matrix.bind()(h), 2 * weight @ h)
    torch.testing.assert_close(copy.deepcopy(matrix).bind()(h), 2 * weight @ h)
    other.load_state_dict(matrix.state_dict())
    torch.testing.assert_close(other.bind()(h), 2 * weight @ h)


@pytest.mark.parametrize("layout", ["csr", "block4"])
def test_other_indices_of_a_state_dict_are_followed(layout: str):
    first, second = torch.eye(16, dtype=torch.float64), torch.eye(16, dtype=torch.float64).flip(0)
    matrix, other = (LAYOUTS[layout](weight, weight != 0) for weight in (first, second))
    h = torch.randn(16, 3, dtype=torch.float64, requires_grad=True)
    matrix.bind()(h)
    matrix.load_state_dict(other.state_dict())
    product = matrix.bind()(h)
    torch.testing.assert_close(product, second @ h)
    (gradient,) = torch.autograd.grad(product, h, torch.ones_like(product))
    torch.testing.assert_close(gradient, torch.ones_like(h))


def test_what_is_stored_follows_what_was_kept():
    weight, kept = pruned(256, 256, 0.02, 0)
    kept_count = int(kept.count_nonzero())
    assert CSRMatrix.of(weight.float(), kept).stored_bytes() == 8 * kept_count + 4 * 257
    blocks = torch.zeros(256, 256)
    blocks[32:64, 96:128] = 1.0
    assert BlockMatrix.of(blocks, blocks != 0, 32).stored_bytes() == 4 * 32 * 32 + 2 * 4


@given(seed=seeds, rows=st.integers(1, 8), columns=st.integers(1, 8))
def test_block_rows_of_equal_width_follow_each_other(seed: int, rows: int, columns: int):
    occupied = torch.rand(rows, columns, generator=generator(seed)) < 0.5
    row, column = occupied.nonzero(as_tuple=True)
    order = block_order(row, column, rows)
    widths = occupied.sum(1)[row[order]]
    assert (widths.diff() >= 0).all()
    keys = (widths * rows + row[order]) * columns + column[order]
    assert (keys.diff() > 0).all()


@pytest.mark.parametrize(
    ("changes", "name"),
    [
        ({"row_starts": torch.tensor([0, 1])}, "row_starts"),
        ({"row_starts": torch.tensor([0, 2, 1])}, "row_starts"),
        ({"row_starts": torch.tensor([1, 2, 2])}, "row_starts"),
        ({"columns": torch.tensor([0, 3])}, "columns"),
        ({"columns": torch.tensor([-1, 0])}, "columns"),
        ({"columns": torch.tensor([0])}, "columns"),
        ({"columns": torch.tensor([1, 0]), "row_starts": torch.tensor([0, 2, 2])}, "columns"),
    ],
)
def test_wrong_indices_of_rows_are_refused(changes: dict[str, Tensor], name: str):
    parts = {"values": torch.ones(2), "row_starts": torch.tensor([0, 1, 2]), "columns": torch.tensor([0, 2])} | changes
    with pytest.raises(ValueError, match=name):
        CSRMatrix((2, 3), **parts)


@pytest.mark.parametrize(
    ("changes", "name"),
    [
        ({"values": torch.ones(2, 2, 3)}, "values"),
        ({"block_rows": torch.tensor([0])}, "block_rows"),
        ({"block_rows": torch.tensor([0, 2])}, "block_rows"),
        ({"block_columns": torch.tensor([0, -1])}, "block_columns"),
        ({"block_rows": torch.tensor([1, 0])}, "block_rows"),
    ],
)
def test_wrong_indices_of_blocks_are_refused(changes: dict[str, Tensor], name: str):
    parts = {"values": torch.ones(2, 2, 2), "block_rows": torch.tensor([0, 1]), "block_columns": torch.tensor([0, 0])}
    with pytest.raises(ValueError, match=name):
        BlockMatrix((4, 4), **(parts | changes))


@pytest.mark.parametrize("of", [CSRMatrix.of, lambda *arguments: BlockMatrix.of(*arguments, 2)])
def test_what_cannot_be_stored_is_named(of):
    weight, kept = torch.ones(4, 4), torch.ones(4, 4) > 0
    for arguments, error, message in (
        ((weight.long(), kept), TypeError, "weight must be floating-point, got torch.int64"),
        ((weight[0], kept), ValueError, r"weight must have the shape \(n, m\), got \(4,\)"),
        ((weight, kept[:3]), ValueError, r"kept must have the shape \(4, 4\), got \(3, 4\)"),
        ((weight, weight), TypeError, "kept must be bool, got torch.float32"),
    ):
        with pytest.raises(error, match=message):
            of(*arguments)
    with pytest.raises(ValueError, match="size must be an integer >= 1, got 0"):
        BlockMatrix.of(weight, kept, 0)
    with pytest.raises(ValueError, match=r"size must fit the .* of memory here"):
        BlockMatrix.of(weight, kept, 10**9)
