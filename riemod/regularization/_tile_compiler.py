"""Compiles one tile in a process of its own: reads a pickled recipe, and writes the library to the file it is told."""

import pickle
import sys
from pathlib import Path

import torch
from torch import Tensor

from riemod import _ahead_of_time as ahead_of_time
from riemod.regularization._own_kernels import Recipe
from riemod.regularization._tiles import KnownCosts, tile

# Any sizes that differ from one another and from every number of coordinates.
_ROWS, _COLUMNS = 30, 70


def compile_tile(recipe: Recipe) -> bytes:
    """Return the library of a tile, whose operands are those of `tile`; heights and widths may be any."""
    law, dtype = recipe.law, recipe.dtype
    block = torch.ones(_ROWS, _COLUMNS, dtype=recipe.weight_dtype)
    if isinstance(law, KnownCosts):
        rows = torch.ones(_ROWS, _COLUMNS, dtype=dtype)
        columns = rows.clone() if law.signed else rows.new_empty(0)
        shapes = [("r", "c"), ("r", "c") if law.signed else ("0",)]
    else:
        # Two different points each, so that no distance is 0 by accident of the example.
        rows = torch.rand(_ROWS, law.manifold.tile_dim, dtype=dtype)
        columns = torch.rand(law.manifold.tile_dim, _COLUMNS, dtype=dtype)
        dimension = str(law.manifold.tile_dim)
        shapes = [("r", dimension), (dimension, "c")]
    operands = [block, block.clone(), rows, columns, rows.new_ones(()), rows.new_zeros(_ROWS, dtype=torch.float64)]
    sizes = [("r", "c"), ("r", "c"), *shapes, (), ("r",)]
    if law.learn:
        operands += [torch.zeros_like(rows), torch.zeros_like(columns)]
        sizes += shapes

    def kernel(*operands: Tensor) -> None:
        tile(law, torch.func.vjp, *operands)  # pyright: ignore[reportArgumentType]

    return ahead_of_time.shared_library(kernel, operands, sizes, recipe.compiler)


if __name__ == "__main__":
    Path(sys.argv[1]).write_bytes(compile_tile(pickle.load(sys.stdin.buffer)))
