"""How a pruned net runs: kept weights alone are stored and multiplied."""

from riemod.sparse.compress import Timing, compress, fastest, time_layouts
from riemod.sparse.files import load, save
from riemod.sparse.layouts import BlockMatrix, CSRMatrix, DenseMatrix, Matrix
from riemod.sparse.recurrent import CompressedLinear, CompressedRecurrent

__all__ = [
    "BlockMatrix",
    "CSRMatrix",
    "CompressedLinear",
    "CompressedRecurrent",
    "DenseMatrix",
    "Matrix",
    "Timing",
    "compress",
    "fastest",
    "load",
    "save",
    "time_layouts",
]
