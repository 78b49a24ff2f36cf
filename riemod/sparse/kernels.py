"""Products W h of sparse matrices with columns, and their gradients, made of torch's own operations.

The row-by-row product is `embedding_bag` with weights, which looks rows of h up, scales and adds them. On CPUs this is
FBGEMM's code, about twice as fast as torch's CSR product (MKL) for 32 columns and more, and up to 1.6 times slower for
2 to 8. The block product gathers the rows of h that a few block rows read, as many as the cache holds, and multiplies
them in one batch.
"""

import warnings
from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn.functional import embedding_bag, pad

# Bytes of h that the block product gathers at a time: more would not fit the cache, less makes many small products.
GATHERED_BYTES = 5 << 19


class SparseProduct(torch.autograd.Function):
    """Computes W h, with gradients for the values of W and for h.

    Arguments of `apply`: the values, h (m, batch), and three functions: values, h -> W h; gradient -> W^T gradient;
    gradient, h -> the values' gradient.
    """

    @staticmethod
    def forward(
        ctx: Any,
        values: Tensor,
        h: Tensor,
        product: Callable[[Tensor, Tensor], Tensor],
        transposed_product: Callable[[Tensor], Tensor],
        values_gradient: Callable[[Tensor, Tensor], Tensor],
    ) -> Tensor:
        """Return W h."""
        ctx.save_for_backward(h)
        ctx.transposed_product, ctx.values_gradient = transposed_product, values_gradient
        return product(values, h)

    @staticmethod
    @once_differentiable
    def backward(  # pyright: ignore[reportIncompatibleMethodOverride] (the decorator hides the name of ctx)
        ctx: Any, *gradients: Tensor
    ) -> tuple[Tensor | None, ...]:
        """Return the gradient of the values, and W^T gradient."""
        (h,), (gradient,) = ctx.saved_tensors, gradients
        for_values = ctx.values_gradient(gradient, h) if ctx.needs_input_grad[0] else None
        for_h = ctx.transposed_product(gradient) if ctx.needs_input_grad[1] else None
        return for_values, for_h, None, None, None


class CSR(NamedTuple):
    """Holds where the entries of a matrix lie: row i has those from `row_starts[i]` to `row_starts[i + 1]`."""

    shape: tuple[int, int]
    row_starts: Int[Tensor, " starts"]
    columns: Int[Tensor, " k"]


class TransposedCSR(NamedTuple):
    """Holds the rows of W^T, and the index of each of their entries in W's values."""

    rows: CSR
    order: Int[Tensor, " k"]


def transpose_csr(matrix: CSR) -> TransposedCSR:
    """Return the rows of the transposed matrix: the same entries, ordered by their column in W, then by their row.

    >>> of = CSR((2, 3), torch.tensor([0, 2, 3]), torch.tensor([0, 2, 1]))
    >>> transposed = transpose_csr(of)
    >>> transposed.rows.row_starts.tolist(), transposed.rows.columns.tolist(), transposed.order.tolist()
    ([0, 1, 2, 3], [0, 1, 0], [0, 2, 1])
    """
    counts = torch.bincount(matrix.columns, minlength=matrix.shape[1])
    starts = torch.cat([counts.new_zeros(1), counts.cumsum(0)])
    order = torch.argsort(matrix.columns, stable=True)
    rows = torch.repeat_interleave(matrix.row_starts.diff().long())[order]
    shape = (matrix.shape[1], matrix.shape[0])
    return TransposedCSR(CSR(shape, starts.to(matrix.row_starts.dtype), rows.to(matrix.columns.dtype)), order)


def csr_product(matrix: CSR, values: Float[Tensor, " k"], h: Float[Tensor, "m batch"]) -> Float[Tensor, "n batch"]:
    """Return W h.

    Pass detached values where no gradient is wanted; for others torch also prepares what a gradient needs.
    """
    if not len(values):
        return h.new_zeros(matrix.shape[0], h.shape[1])
    return embedding_bag(
        matrix.columns,
        h.contiguous(),
        matrix.row_starts,
        mode="sum",
        per_sample_weights=values,
        include_last_offset=True,
    )


def csr_pattern(matrix: CSR, dtype: torch.dtype) -> Tensor:
    """Return the pattern of the matrix as a sparse CSR tensor of zeros."""
    zeros = torch.zeros(len(matrix.columns), dtype=dtype, device=matrix.columns.device)
    with warnings.catch_warnings():
        # torch warns that CSR tensors are in beta. The indices were checked when the matrix was made.
        warnings.simplefilter("ignore", UserWarning)
        return torch.sparse_csr_tensor(*matrix[1:], zeros, matrix.shape, check_invariants=False)


def csr_gradient(pattern: Tensor, gradient: Float[Tensor, "n batch"], h: Float[Tensor, "m batch"]) -> Tensor:
    """Return gradient h^T at the kept entries, (k,)."""
    return torch.sparse.sampled_addmm(pattern, gradient.contiguous(), h.t(), beta=0).values()


class BlockRows(NamedTuple):
    """Holds block rows first to last - 1 of the sorted order, of `width` blocks each, whose blocks begin at `start`."""

    first: int
    last: int
    width: int
    start: int


class BlockGrid(NamedTuple):
    """Holds where the blocks of a matrix lie, for a product.

    `columns` (blocks,) has the block column of each block; `position` (block rows,) has the place of each block row in
    the order sorted by width; `sets` are its runs of equal width.
    """

    shape: tuple[int, int]
    size: int
    columns: Int[Tensor, " blocks"]
    position: Int[Tensor, " rows"]
    sorted_rows: Int[Tensor, " rows"]
    sets: tuple[BlockRows, ...]


def block_order(rows: Int[Tensor, " blocks"], columns: Int[Tensor, " blocks"], count: int) -> Int[Tensor, " blocks"]:
    """Return the permutation that sorts blocks by the number of blocks in their row, then by row, then by column."""
    widths = torch.bincount(rows, minlength=count)[rows]
    order = torch.argsort(columns, stable=True)
    order = order[torch.argsort(rows[order], stable=True)]
    return order[torch.argsort(widths[order], stable=True)]


def block_grid(
    shape: tuple[int, int], size: int, rows: Int[Tensor, " blocks"], columns: Int[Tensor, " blocks"]
) -> BlockGrid:
    """Return what a product needs to know of blocks that are in the order of `block_order`."""
    count = -(-shape[0] // size)
    widths = torch.bincount(rows, minlength=count)
    sorted_rows = torch.argsort(widths, stable=True)
    position = torch.empty_like(sorted_rows)
    position[sorted_rows] = torch.arange(count, device=rows.device)
    sets: list[BlockRows] = []
    first = start = 0
    for width, height in zip(*(part.tolist() for part in torch.unique(widths, return_counts=True)), strict=True):
        sets.append(BlockRows(first, first + height, width, start))
        first, start = first + height, start + height * width
    return BlockGrid(shape, size, columns.long(), position, sorted_rows, tuple(sets))


class TransposedBlocks(NamedTuple):
    """Holds where the blocks of W^T lie, and which blocks of W they are."""

    grid: BlockGrid
    order: Int[Tensor, " blocks"]


def transpose_blocks(
    shape: tuple[int, int], size: int, rows: Int[Tensor, " blocks"], columns: Int[Tensor, " blocks"]
) -> TransposedBlocks:
    """Return what a product with the transposed matrix needs to know; its blocks are those of W transposed."""
    order = block_order(columns, rows, -(-shape[1] // size))
    return TransposedBlocks(block_grid((shape[1], shape[0]), size, columns[order], rows[order]), order)


def _pieces(grid: BlockGrid, batch_bytes: int) -> list[BlockRows]:
    """Cut the sets that have blocks into pieces whose rows of h, of `batch_bytes` each, fit the cache."""
    pieces: list[BlockRows] = []
    for rows in grid.sets:
        if rows.width:
            step = max(1, GATHERED_BYTES // (rows.width * grid.size * batch_bytes))
            for first in range(rows.first, rows.last, step):
                last = min(first + step, rows.last)
                pieces.append(BlockRows(first, last, rows.width, rows.start + (first - rows.first) * rows.width))
    return pieces


def _gathered(grid: BlockGrid, piece: BlockRows, tiles: Float[Tensor, "columns flat"]) -> Tensor:
    """Return the rows of h that each block row of the piece reads, (block rows, width * size, batch)."""
    height = piece.last - piece.first
    chosen = tiles.index_select(0, grid.columns[piece.start : piece.start + height * piece.width])
    return chosen.view(height, piece.width * grid.size, -1)


def _tiles(h: Float[Tensor, "m batch"], size: int) -> Float[Tensor, "tiles flat"]:
    """Return the rows of h in tiles of `size`, the last filled up with zeros."""
    missing = -h.shape[0] % size
    h = pad(h, (0, 0, 0, missing)) if missing else h.contiguous()
    return h.view(-1, size * h.shape[1])


def block_product(
    grid: BlockGrid, values: Float[Tensor, "blocks size size"], h: Float[Tensor, "m batch"]
) -> Float[Tensor, "n batch"]:
    """Return W h."""
    tiles, batch, size = _tiles(h, grid.size), h.shape[1], grid.size
    result = h.new_empty(len(grid.position), size, batch)
    result[: next((rows.last for rows in grid.sets if not rows.width), 0)] = 0
    for piece in _pieces(grid, batch * h.element_size()):
        height = piece.last - piece.first
        weights = values[piece.start : piece.start + height * piece.width].view(height, piece.width * size, size)
        torch.bmm(weights.transpose(1, 2), _gathered(grid, piece, tiles), out=result[piece.first : piece.last])
    return result.index_select(0, grid.position).view(-1, batch)[: grid.shape[0]]


def plain_block_product(
    shape: tuple[int, int],
    block_rows: Int[Tensor, " blocks"],
    block_columns: Int[Tensor, " blocks"],
    values: Float[Tensor, "blocks size size"],
    h: Float[Tensor, "m batch"],
) -> Float[Tensor, "n batch"]:
    """Return W h by operations that can be exported: no tables, nothing written in place, and no size of h read."""
    size = values.shape[1]
    missing = -shape[1] % size
    tiles = (pad(h, (0, 0, 0, missing)) if missing else h).reshape(-1, size, h.shape[1])
    products = torch.bmm(values.transpose(1, 2), tiles.index_select(0, block_columns.long()))
    sums = h.new_zeros(-(-shape[0] // size), size, h.shape[1]).index_add(0, block_rows.long(), products)
    return sums.reshape(-1, h.shape[1])[: shape[0]]


def block_gradient(grid: BlockGrid, gradient: Tensor, h: Tensor) -> Float[Tensor, "blocks size size"]:
    """Return gradient h^T in the blocks."""
    size, batch = grid.size, h.shape[1]
    tiles = _tiles(h, size)
    rows = _tiles(gradient, size).index_select(0, grid.sorted_rows).view(-1, size, batch)
    result = h.new_empty(len(grid.columns), size, size)
    for piece in _pieces(grid, batch * h.element_size()):
        height = piece.last - piece.first
        out = result[piece.start : piece.start + height * piece.width].view(height, piece.width * size, size)
        torch.bmm(_gathered(grid, piece, tiles), rows[piece.first : piece.last].transpose(1, 2), out=out)
    return result
