"""Run pruned nets fast: order neurons so that weights fall into blocks, and store and multiply kept weights alone."""

from riemod.sparse.compress import Timing, compress, fastest, time_layouts
from riemod.sparse.files import load, save
from riemod.sparse.layouts import BlockMatrix, CSRMatrix, DenseMatrix, StoredMatrix
from riemod.sparse.order import block_occupancy, order_neurons, permute_neurons, reverse_cuthill_mckee
from riemod.sparse.recurrent import CompressedLinear, CompressedRecurrent
from riemod.sparse.timing import paired_seconds

__all__ = [
    "BlockMatrix",
    "CSRMatrix",
    "CompressedLinear",
    "CompressedRecurrent",
    "DenseMatrix",
    "StoredMatrix",
    "Timing",
    "block_occupancy",
    "compress",
    "fastest",
    "load",
    "order_neurons",
    "paired_seconds",
    "permute_neurons",
    "reverse_cuthill_mckee",
    "save",
    "time_layouts",
]
