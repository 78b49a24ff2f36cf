"""Goes over a weight tile by tile: the value of the penalty and all of its gradients, in one pass."""

from typing import NamedTuple

import torch
from torch import Tensor

from riemod.regularization import _tiles as tiles
from riemod.regularization._bands import BANDS, run_bands
from riemod.regularization._kernels import Tile
from riemod.regularization._pages import fresh_like
from riemod.regularization._tiles import KnownCosts, Law


class Swept(NamedTuple):
    """Holds scale * sum_jk c_jk |w_jk|^power and its gradients; those that nobody needs are empty."""

    total: Tensor
    weight_gradient: Tensor
    row_gradient: Tensor
    column_gradient: Tensor


def sweep(
    weight: Tensor,
    rows: Tensor,
    columns: Tensor,
    law: Law | KnownCosts,
    scale: float,
    *,
    weight_gradient: bool,
    compiled: bool,
) -> Swept:
    """Compute the penalty of a weight (n, m) and its gradients.

    Args:
        weight: detached from any graph.
        rows: (n, k), coordinates of the rows in the dtype to compute in; or known costs, (n, m) or (2, n, m).
        columns: (m, k), coordinates of the columns; empty if the costs are known.
        law: what a pair costs.
        scale: factor of all results.
        weight_gradient: whether the gradient of the weight is wanted.
        compiled: whether to run kernels where there can be some.
    """
    dtype, known = rows.dtype, isinstance(law, KnownCosts)
    columns = columns.t().contiguous()
    height, width = tiles.tile_shape(weight.shape[1], weight.device)
    tile = Tile(law, compiled, weight.dtype, dtype, weight.device)
    down, across = tiles.spans(len(weight), height), tiles.spans(weight.shape[1], width)
    bands = [down[band] for band in tiles.spans(len(down), -(-len(down) // BANDS))] if tile.threads else [down]

    gradient = fresh_like(weight) if weight_gradient else weight.new_empty(0)
    scratch = weight.new_empty(0 if weight_gradient else len(bands), min(height, len(weight)), width)
    totals = rows.new_zeros(len(weight), dtype=torch.float64)
    row_gradient = torch.zeros_like(rows) if law.learn else rows.new_zeros(0)
    # Each band has sums of its own for the columns, and for each part of them one piece of memory.
    parts = [columns[:, along].contiguous() for along in across] if not known else []
    sums = [[torch.zeros_like(part) for part in parts] if law.learn else [] for _ in bands]
    factor = rows.new_full((), scale)

    def run_band(index: int) -> None:
        for at in bands[index]:
            for part, along in enumerate(across):
                block = weight[at, along]
                slope = gradient[at, along] if weight_gradient else scratch[index, : len(block), : block.shape[1]]
                operands = _costs_of_tile(rows, at, along) if known else (rows[at], parts[part])
                learned = (row_gradient[at], sums[index][part]) if law.learn else ()
                tile(block, slope, *operands, factor, totals[at], *learned)

    run_bands(run_band, len(bands), torch.get_num_threads() if tile.threads else 1)
    column_gradient = torch.zeros_like(columns)
    for band in sums:
        for along, part in zip(across, band, strict=False):
            column_gradient[:, along] += part
    return Swept(totals.sum().to(dtype), gradient, row_gradient, column_gradient.t().contiguous())


def _costs_of_tile(costs: Tensor, at: slice, along: slice) -> tuple[Tensor, Tensor]:
    """Return the costs of a tile, and those of its negative weights if they have some of their own."""
    if costs.ndim == 2:
        return costs[at, along], costs.new_empty(0)
    return costs[0, at, along], costs[1, at, along]
