"""Products of sparse matrices with columns, W h and their gradients, from operations that torch itself has.

The row-by-row product is `embedding_bag` with weights: rows of h are looked up, scaled and added. On CPUs that is
FBGEMM's code, about twice as fast as torch's CSR product (MKL) for 32 columns and more, and up to 1.6 times slower for
2 to 8. The block product gathers the rows of h that some block rows read, as many as the cache holds, and multiplies
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

# Bytes of h that the block product gathers at a time: more falls out of the cache, less makes many small products.
GATHERED_BYTES = 5 << 19


class SparseProduct(torch.autograd.Function):
    """W h, with gradients for the values of W and for h.

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
        """W h."""
        ctx.save_for_backward(h)
        ctx.transposed_product, ctx.values_gradient = transposed_product, values_gradient
        return product(values, h)

    @staticmethod
    @once_differentiable
    def backward(  # pyright: ignore[reportIncompatibleMethodOverride] (the decorator hides the name of ctx)
        ctx: Any, *gradients: Tensor
    ) -> tuple[Tensor | None, ...]:
        """The values' gradient, and W^T gradient."""
        (h,), (gradient,) = ctx.saved_tensors, gradients
        for_values = ctx.values_gradient(gradient, h) if ctx.needs_input_grad[0] else None
        for_h = ctx.transposed_product(gradient) if ctx.needs_input_grad[1] else None
        return for_values, for_h, None, None, None


class CSR(NamedTuple):
    """The rows of a matrix of that shape: `columns` and `values` from `row_starts[i]` to `row_starts[i + 1]`."""

    shape: tuple[int, int]
    row_starts: Int[Tensor, " starts"]
    columns: Int[Tensor, " k"]


class TransposedCSR(NamedTuple):
    """The rows of W^T, and where in W's values their entries are."""

    rows: CSR
    order: Int[Tensor, " k"]


def transpose_csr(matrix: CSR) -> TransposedCSR:
    """The transposed matrix's rows: the same entries, ordered by their columns in W, then by their rows.

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
    """W h. Give it detached values where no gradient is wanted: with others torch also makes what it needs for one."""
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
    """The matrix as torch's sparse tensor, of zeros."""
    zeros = torch.zeros(len(matrix.columns), dtype=dtype, device=matrix.columns.device)
    with warnings.catch_warnings():
        # That sparse tensors are in beta; the indices were checked when they came.
        warnings.simplefilter("ignore", UserWarning)
        return torch.sparse_csr_tensor(*matrix[1:], zeros, matrix.shape, check_invariants=False)


def csr_gradient(pattern: Tensor, gradient: Float[Tensor, "n batch"], h: Float[Tensor, "m batch"]) -> Tensor:
    """(k,) gradient h^T at the kept entries."""
    return torch.sparse.sampled_addmm(pattern, gradient.contiguous(), h.t(), beta=0).values()


class BlockRows(NamedTuple):
    """Block rows first to last - 1 of the sorted order, of `width` blocks each; their blocks begin at `start`."""

    first: int
    last: int
    width: int
    start: int


class BlockGrid(NamedTuple):
    """Where the blocks of a matrix of that shape lie, for a product.

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
    """A permutation that puts blocks of block rows with fewer blocks first, then by block row, then by column."""
    widths = torch.bincount(rows, minlength=count)[rows]
    order = torch.argsort(columns, stable=True)
    order = order[torch.argsort(rows[order], stable=True)]
    return order[torch.argsort(widths[order], stable=True)]


def block_grid(
    shape: tuple[int, int], size: int, rows: Int[Tensor, " blocks"], columns: Int[Tensor, " blocks"]
) -> BlockGrid:
    """What a product needs to know of blocks that are in the order of `block_order`."""
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
    """Where the blocks of W^T lie, and which blocks of W they are."""

    grid: BlockGrid
    order: Int[Tensor, " blocks"]


def transpose_blocks(
    shape: tuple[int, int], size: int, rows: Int[Tensor, " blocks"], columns: Int[Tensor, " blocks"]
) -> TransposedBlocks:
    """The same for the transposed matrix, whose blocks are those of W transposed."""
    order = block_order(columns, rows, -(-shape[1] // size))
    return TransposedBlocks(block_grid((shape[1], shape[0]), size, columns[order], rows[order]), order)


def _pieces(grid: BlockGrid, batch_bytes: int) -> list[BlockRows]:
    """The sets with any block, cut so that what each gathers of h, rows of `batch_bytes`, stays in the cache."""
    pieces: list[BlockRows] = []
    for rows in grid.sets:
        if rows.width:
            step = max(1, GATHERED_BYTES // (rows.width * grid.size * batch_bytes))
            for first in range(rows.first, rows.last, step):
                last = min(first + step, rows.last)
                pieces.append(BlockRows(first, last, rows.width, rows.start + (first - rows.first) * rows.width))
    return pieces


def _gathered(grid: BlockGrid, piece: BlockRows, tiles: Float[Tensor, "columns flat"]) -> Tensor:
    """(block rows of the piece, width * size, batch): the rows of h that each of them reads."""
    height = piece.last - piece.first
    chosen = tiles.index_select(0, grid.columns[piece.start : piece.start + height * piece.width])
    return chosen.view(height, piece.width * grid.size, -1)


def _tiles(h: Float[Tensor, "m batch"], size: int) -> Float[Tensor, "tiles flat"]:
    """Rows of h in tiles of `size`, the last filled up with zeros."""
    missing = -h.shape[0] % size
    h = pad(h, (0, 0, 0, missing)) if missing else h.contiguous()
    return h.view(-1, size * h.shape[1])


def block_product(
    grid: BlockGrid, values: Float[Tensor, "blocks size size"], h: Float[Tensor, "m batch"]
) -> Float[Tensor, "n batch"]:
    """W h."""
    tiles, batch, size = _tiles(h, grid.size), h.shape[1], grid.size
    result = h.new_empty(len(grid.position), size, batch)
    result[: next((rows.last for rows in grid.sets if not rows.width), 0)] = 0
    for piece in _pieces(grid, batch * h.element_size()):
        height = piece.last - piece.first
        weights = values[piece.start : piece.start + height * piece.width].view(height, piece.width * size, size)
        torch.bmm(weights.transpose(1, 2), _gathered(grid, piece, tiles), out=result[piece.first : piece.last])
    return result.index_select(0, grid.position).view(-1, batch)[: grid.shape[0]]


def block_gradient(grid: BlockGrid, gradient: Tensor, h: Tensor) -> Float[Tensor, "blocks size size"]:
    """gradient h^T in the blocks."""
    size, batch = grid.size, h.shape[1]
    tiles = _tiles(h, size)
    rows = _tiles(gradient, size).index_select(0, grid.sorted_rows).view(-1, size, batch)
    result = h.new_empty(len(grid.columns), size, size)
    for piece in _pieces(grid, batch * h.element_size()):
        height = piece.last - piece.first
        out = result[piece.start : piece.start + height * piece.width].view(height, piece.width * size, size)
        torch.bmm(_gathered(grid, piece, tiles), rows[piece.first : piece.last].transpose(1, 2), out=out)
    return result
