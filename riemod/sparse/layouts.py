"""Matrices of which only kept entries are stored: dense, row by row (CSR), or in square blocks.

A matrix W (n, m) multiplies columns: h (m, batch) -> W h (n, batch), features first. Each kept weight reads a row of h,
which then lies in one piece. `bind()` returns the product with the present weights; a recurrent layer binds once a
sequence. Gradients go to the stored weights and to h. They cost as much as the product and make nothing of size n x m.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable
from functools import partial
from typing import Self

import torch
from jaxtyping import Bool, Float, Shaped
from torch import Tensor, nn

from riemod._arrays import check_tensor
from riemod._checks import check_integer, shown
from riemod._machine import check_fits
from riemod._torch import inside_export
from riemod.sparse import kernels

__all__ = ["BlockMatrix", "CSRMatrix", "DenseMatrix", "StoredMatrix"]

Product = Callable[[Tensor], Tensor]
# Indices are int32.
_LARGEST = 2**31 - 2


class StoredMatrix(nn.Module, ABC):
    """Holds a matrix (n, m) of which only some entries are stored.

    The parameter `values` holds the stored entries. Some of them may have been pruned, because others of their block
    were not; the bool buffer `values_mask` is False for these, and they stay 0 and get no gradient.

    Args:
        shape: (n, m).
        layout: "dense", "csr", or "block32" for blocks of that size.
        values: the stored entries; a copy is kept.
        mask: which of them are kept; None for all.
    """

    def __init__(self, shape: tuple[int, int], layout: str, values: Tensor, mask: Tensor | None = None) -> None:
        super().__init__()
        if mask is not None and (check_tensor("mask", mask, values.shape).dtype != torch.bool):
            raise TypeError(f"mask must be bool, got {mask.dtype}")
        self.shape, self.layout = shape, layout
        self.values = nn.Parameter(values.detach().clone())
        self.values_mask: Tensor | None
        self.register_buffer("values_mask", None if mask is None or bool(mask.all()) else mask.detach().clone())

    @abstractmethod
    def bind(self) -> Product:
        """Return the product h (m, batch) -> W h (n, batch) with the present values."""

    @abstractmethod
    def dense(self) -> Float[Tensor, "n m"]:
        """Return W as one dense matrix, detached."""

    def stored_bytes(self) -> int:
        """Return the bytes of the values and of their indices."""
        return sum(tensor.nbytes for name, tensor in self.state_dict().items() if name != "values_mask")

    def extra_repr(self) -> str:
        """Return the shape and the number of stored entries."""
        return f"{self.shape[0]}, {self.shape[1]}, stored={self.values.numel()}"

    def _trained(self) -> Tensor:
        """Return the values so that pruned ones among them get no gradient."""
        return self.values if self.values_mask is None else self.values * self.values_mask


class DenseMatrix(StoredMatrix):
    """Stores every entry.

    Args:
        values: (n, m).
        mask: which entries are kept; None for all.

    >>> DenseMatrix(torch.eye(2)).bind()(torch.ones(2, 1)).tolist()
    [[1.0], [1.0]]
    """

    def __init__(self, values: Float[Tensor, "n m"], mask: Bool[Tensor, "n m"] | None = None) -> None:
        _check_values(check_tensor("values", values, ("n", "m")))
        super().__init__((values.shape[0], values.shape[1]), "dense", values, mask)

    def bind(self) -> Product:
        """Return the product by `torch.mm`."""
        return (self._trained() if _is_trained() else self.values).mm

    def dense(self) -> Float[Tensor, "n m"]:
        """Return the values themselves, detached."""
        return self.values.detach()


class CSRMatrix(StoredMatrix):
    """Stores the kept entries row by row: `values` (k,), and as int32 `columns` (k,) and `row_starts` (n + 1,).

    Args:
        shape: (n, m).
        values: the entries.
        row_starts: index in `values` at which each row begins; the last is k.
        columns: the column of each entry, ascending in each row.

    Raises:
        ValueError: the indices are not those of such a matrix.

    >>> weight = torch.tensor([[0.0, 2.0], [3.0, 0.0]])
    >>> matrix = CSRMatrix.of(weight, weight != 0)
    >>> matrix.values.tolist(), matrix.bind()(torch.ones(2, 1)).tolist()
    ([2.0, 3.0], [[2.0], [3.0]])
    """

    def __init__(self, shape: tuple[int, int], values: Tensor, row_starts: Tensor, columns: Tensor) -> None:
        _check_csr(_pair(shape), values, row_starts, columns)
        super().__init__(shape, "csr", values)
        self.row_starts: Tensor
        self.columns: Tensor
        self.register_buffer("row_starts", row_starts.int())
        self.register_buffer("columns", columns.int())
        self._transposed: kernels.TransposedCSR | None = None
        self.register_load_state_dict_post_hook(_forget)

    @classmethod
    def of(cls, weight: Float[Tensor, "n m"], kept: Bool[Tensor, "n m"]) -> Self:
        """Store the entries of `weight` where `kept` is True.

        Raises:
            ValueError: if the weight is not (n, m), or `kept` has another shape.
            TypeError: if the weight is not a floating-point tensor, or `kept` not a bool one.
        """
        _check_kept(weight, kept)
        rows, columns = kept.nonzero(as_tuple=True)
        counts = torch.bincount(rows, minlength=weight.shape[0])
        starts = torch.cat([counts.new_zeros(1), counts.cumsum(0)])
        return cls((weight.shape[0], weight.shape[1]), weight.detach()[rows, columns], starts, columns)

    def bind(self) -> Product:
        """Return the product by `torch.nn.functional.embedding_bag`, in which a row of W is a bag."""
        values, own = self.values, kernels.CSR(self.shape, self.row_starts, self.columns)
        if not _is_trained():
            detached = values.detach()
            return lambda h: kernels.csr_product(own, detached, h)
        if self._transposed is None or self._transposed.order.device != values.device:
            self._transposed = kernels.transpose_csr(own)
        transposed, order = self._transposed
        transposed_values = values.detach()[order]
        rules = (
            partial(kernels.csr_product, own),
            partial(kernels.csr_product, transposed, transposed_values),
            partial(kernels.csr_gradient, kernels.csr_pattern(own, values.dtype)),
        )
        return lambda h: kernels.SparseProduct.apply(values, h, *rules)

    def dense(self) -> Float[Tensor, "n m"]:
        """Return W with zeros where nothing is stored, detached."""
        result = self.values.new_zeros(self.shape)
        rows = torch.repeat_interleave(self.row_starts.diff().long())
        return result.index_put_((rows, self.columns.long()), self.values.detach())


class BlockMatrix(StoredMatrix):
    """Stores the non-empty blocks: `values` (blocks, size, size), int32 `block_rows` and `block_columns` (blocks,).

    Block b holds W[block_rows[b] * size + j, block_columns[b] * size + k] at values[b, k, j]: blocks are transposed.
    Block rows with equally many blocks follow each other, so that the weights of several block rows are one batch of
    matrices without any copy. Where `size` does not divide n or m, edge blocks are filled up with zeros.

    Args:
        shape: (n, m).
        values: the blocks, transposed.
        block_rows: the block row of each block, in the order of `riemod.sparse.kernels.block_order`.
        block_columns: the block column of each block.
        mask: which entries of the blocks are kept; None for all.

    Raises:
        ValueError: the indices are not those of such a matrix.

    >>> matrix = BlockMatrix.of(torch.eye(4), torch.eye(4) > 0, size=2)
    >>> tuple(matrix.values.shape), matrix.bind()(torch.arange(4.0)[:, None]).flatten().tolist()
    ((2, 2, 2), [0.0, 1.0, 2.0, 3.0])
    """

    def __init__(
        self,
        shape: tuple[int, int],
        values: Tensor,
        block_rows: Tensor,
        block_columns: Tensor,
        mask: Tensor | None = None,
    ) -> None:
        _check_blocks(_pair(shape), values, block_rows, block_columns)
        super().__init__(shape, f"block{values.shape[-1]}", values, mask)
        self.block_rows: Tensor
        self.block_columns: Tensor
        self.register_buffer("block_rows", block_rows.int())
        self.register_buffer("block_columns", block_columns.int())
        self._grid: kernels.BlockGrid | None = None
        self._transposed: kernels.TransposedBlocks | None = None
        self.register_load_state_dict_post_hook(_forget)

    @classmethod
    def of(cls, weight: Float[Tensor, "n m"], kept: Bool[Tensor, "n m"], size: int) -> Self:
        """Store the blocks of `weight`, (size, size), in which any entry is kept.

        Raises:
            ValueError: if the weight is not (n, m), `kept` has another shape, or size is not an integer >= 1.
            TypeError: if the weight is not a floating-point tensor, or `kept` not a bool one.
        """
        _check_kept(weight, kept)
        check_fits("size", check_integer("size", size, least=1), weight.element_size() * size**2)
        kept_tiles = _tiles(kept, size)
        occupied = kept_tiles.flatten(2).any(2)
        rows, columns = occupied.nonzero(as_tuple=True)
        order = kernels.block_order(rows, columns, len(occupied))
        rows, columns = rows[order], columns[order]
        values = _tiles(weight.detach() * kept, size)[rows, columns].transpose(1, 2)
        mask = kept_tiles[rows, columns].transpose(1, 2)
        return cls((weight.shape[0], weight.shape[1]), values.contiguous(), rows, columns, mask.contiguous())

    @property
    def size(self) -> int:
        """The number of rows, and of columns, of a block."""
        return self.values.shape[1]

    def bind(self) -> Product:
        """Return the product: one batched product of matrices for each set of block rows with equally many blocks."""
        if inside_export():
            where, stored = (self.shape, self.block_rows, self.block_columns), self.values.detach()
            return lambda h: kernels.plain_block_product(*where, stored, h)
        if self._grid is None or self._grid.columns.device != self.values.device:
            self._grid = kernels.block_grid(self.shape, self.size, self.block_rows, self.block_columns)
            self._transposed = None
        grid, values = self._grid, self.values
        if not _is_trained():
            return lambda h: kernels.block_product(grid, values, h)
        if self._transposed is None:
            self._transposed = kernels.transpose_blocks(self.shape, self.size, self.block_rows, self.block_columns)
        transposed, order = self._transposed
        transposed_values = values.detach()[order].transpose(1, 2).contiguous()
        values = self._trained()
        rules = (
            partial(kernels.block_product, grid),
            partial(kernels.block_product, transposed, transposed_values),
            partial(kernels.block_gradient, grid),
        )
        return lambda h: kernels.SparseProduct.apply(values, h, *rules)

    def dense(self) -> Float[Tensor, "n m"]:
        """Return W with zeros where nothing is stored, detached."""
        block_shape = [-(-extent // self.size) for extent in self.shape]
        tiles = self.values.new_zeros(*block_shape, self.size, self.size)
        tiles[self.block_rows.long(), self.block_columns.long()] = self.values.detach().transpose(1, 2)
        return tiles.transpose(1, 2).flatten(2, 3).flatten(0, 1)[: self.shape[0], : self.shape[1]].clone()


def _is_trained() -> bool:
    """Return whether the products must have gradients; a model that is exported or traced is one for inference."""
    return torch.is_grad_enabled() and not inside_export()


def _tiles(matrix: Shaped[Tensor, "n m"], size: int) -> Shaped[Tensor, "rows columns size size"]:
    """Cut the matrix into tiles of size x size, filled up with zeros at the edges."""
    padded = nn.functional.pad(matrix, (0, -matrix.shape[1] % size, 0, -matrix.shape[0] % size))
    return padded.unflatten(1, (-1, size)).unflatten(0, (-1, size)).transpose(1, 2)


def _forget(module: nn.Module, _: object) -> None:
    """Forget what was derived from indices that a state dict has replaced."""
    if isinstance(module, CSRMatrix | BlockMatrix):
        module._transposed = None
    if isinstance(module, BlockMatrix):
        module._grid = None


def _pair(shape: tuple[int, int]) -> tuple[int, int]:
    if not isinstance(shape, tuple | list) or len(shape) != 2:
        raise TypeError(f"shape must be two integers, got {shown(shape)}")
    n, m = (check_integer("shape", extent, 0, _LARGEST) for extent in shape)
    return n, m


def _check_kept(weight: Tensor, kept: Tensor) -> None:
    if not check_tensor("weight", weight, ("n", "m")).is_floating_point():
        raise TypeError(f"weight must be floating-point, got {weight.dtype}")
    if check_tensor("kept", kept, weight.shape).dtype != torch.bool:
        raise TypeError(f"kept must be bool, got {kept.dtype}")


def _check_values(values: Tensor) -> None:
    if not check_tensor("values", values).is_floating_point():
        raise TypeError(f"values must be floating-point, got {values.dtype}")


def _check_indices(**indices: Tensor) -> None:
    for name, index in indices.items():
        if check_tensor(name, index).is_floating_point() or index.dtype == torch.bool:
            raise TypeError(f"{name} must be integers, got {index.dtype}")


def _check_csr(shape: tuple[int, int], values: Tensor, row_starts: Tensor, columns: Tensor) -> None:
    _check_values(values)
    _check_indices(row_starts=row_starts, columns=columns)
    if values.ndim != 1 or row_starts.shape != (shape[0] + 1,) or columns.shape != values.shape:
        raise ValueError(
            f"row_starts and columns must be ({shape[0] + 1},) and (k,) for a CSR matrix {shape} with k values, "
            f"got {tuple(row_starts.shape)} and {tuple(columns.shape)} for values {tuple(values.shape)}"
        )
    counts = row_starts.long().diff()  # as int64, in which no difference wraps around
    if int(row_starts[0]) != 0 or int(row_starts[-1]) != len(values) or bool((counts < 0).any()):
        raise ValueError(f"row_starts must rise from 0 to the number of values, {len(values)}, got others")
    if len(columns) and (int(columns.min()) < 0 or int(columns.max()) >= shape[1]):
        raise ValueError(f"columns must lie in [0, {shape[1]}), got {int(columns.min())} to {int(columns.max())}")
    rows = torch.repeat_interleave(counts)
    if len(columns) > 1 and bool(((columns.long().diff() <= 0) & (rows.diff() == 0)).any()):
        raise ValueError("columns must ascend in each row, got a row in which they do not")


def _check_blocks(shape: tuple[int, int], values: Tensor, block_rows: Tensor, block_columns: Tensor) -> None:
    _check_values(values)
    _check_indices(block_rows=block_rows, block_columns=block_columns)
    if values.ndim != 3 or values.shape[1] != values.shape[2] or not values.shape[1]:
        raise ValueError(f"values must be (blocks, size, size), got {tuple(values.shape)}")
    for name, index, extent in (("block_rows", block_rows, shape[0]), ("block_columns", block_columns, shape[1])):
        if index.shape != values.shape[:1]:
            raise ValueError(f"{name} must be ({len(values)},), one for each block, got {tuple(index.shape)}")
        count = -(-extent // values.shape[1])
        if len(index) and (int(index.min()) < 0 or int(index.max()) >= count):
            raise ValueError(f"{name} must lie in [0, {count}), got {int(index.min())} to {int(index.max())}")
    order = kernels.block_order(block_rows, block_columns, -(-shape[0] // values.shape[1]))
    if not torch.equal(order, torch.arange(len(order), device=order.device)):
        raise ValueError("block_rows must be in the order of riemod.sparse.kernels.block_order, got another order")
