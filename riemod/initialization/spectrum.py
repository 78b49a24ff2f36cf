"""The spectral radius of a sparse matrix."""

import numpy as np
import torch
from torch import Tensor

from riemod._arrays import check_tensor

_DENSE_EIGENVALUES = 500


def spectral_radius(matrix: Tensor) -> float:
    """Return max |eigenvalue| in float64, computed for each strongly connected part of the graph of non-zero entries.

    A matrix without a cycle then has radius exactly 0; the eigenvalues of the whole matrix would have a size of
    eps^(1/n) by rounding. Parts of more than 500 neurons use Arnoldi iteration (ARPACK, relative tolerance 1e-8), and
    all their eigenvalues if it does not converge.

    Args:
        matrix: (n, n), finite.

    Raises:
        ValueError: the matrix is not square, or holds NaN or infinity.

    >>> spectral_radius(torch.tensor([[0.0, 2.0], [8.0, 0.0]])), spectral_radius(torch.ones(3, 3).tril(-1))
    (4.0, 0.0)
    """
    from scipy.sparse import csr_array
    from scipy.sparse.csgraph import connected_components

    check_tensor("matrix", matrix)
    if matrix.ndim != 2 or matrix.shape[0] != matrix.shape[1]:
        raise ValueError(f"matrix must be square, got shape {tuple(matrix.shape)}")
    if not bool(torch.isfinite(matrix).all()):
        raise ValueError("matrix must be finite, got NaN or infinity")
    values = matrix.detach().double().cpu()
    count, labels = connected_components(csr_array(values.numpy()), directed=True, connection="strong")
    parts = torch.from_numpy(labels).long()
    sizes = parts.bincount(minlength=count)
    alone = values.diagonal()[sizes[parts] == 1].abs()
    largest = float(alone.max()) if len(alone) else 0.0
    for part in (sizes > 1).nonzero().flatten():
        inside = (parts == part).nonzero().flatten()
        largest = max(largest, _connected_radius(values[inside][:, inside]))
    return largest


def _connected_radius(matrix: Tensor) -> float:
    from scipy.sparse import csr_array
    from scipy.sparse.linalg import ArpackNoConvergence, eigs

    if len(matrix) > _DENSE_EIGENVALUES:
        start = torch.randn(len(matrix), generator=torch.Generator().manual_seed(0), dtype=torch.float64).numpy()
        try:
            sparse = csr_array(matrix.numpy())
            # scipy's stubs take the tolerance for an integer.
            found = eigs(sparse, 4, ncv=80, maxiter=300, v0=start, tol=1e-8, return_eigenvectors=False)  # pyright: ignore[reportArgumentType]
            return float(np.abs(np.asarray(found)).max())
        except ArpackNoConvergence:
            pass
    return float(torch.linalg.eigvals(matrix).abs().max())
