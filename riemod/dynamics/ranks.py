"""Effective ranks: how many directions a matrix or a cloud of states uses."""

import torch
from jaxtyping import Float
from torch import Tensor

from riemod._arrays import check_tensor

__all__ = ["effective_rank", "participation_ratio"]


def effective_rank(matrix: Float[Tensor, "... n m"]) -> Float[Tensor, "..."]:
    """Compute the exponential of the entropy of the singular values.

    It is exp(-sum_i p_i log p_i) with p_i = sigma_i / sum_j sigma_j: 1 for a matrix of rank one, and min(n, m) if all
    singular values are equal.

    Args:
        matrix: (..., n, m), for example Jacobians, weights, or states less their mean.

    Returns:
        (...), float64, from 1 to min(n, m).

    Raises:
        ValueError: if a matrix is zero, empty or holds NaN.

    Reference: Roy and Vetterli 2007, https://infoscience.epfl.ch/record/110188

    >>> round(effective_rank(torch.eye(3)).item(), 6)
    3.0
    """
    share = _shares(matrix, 1)
    return torch.special.entr(share).sum(-1).exp()


def participation_ratio(matrix: Float[Tensor, "... n m"]) -> Float[Tensor, "..."]:
    """Compute the number of principal components that share the variance, (sum_i sigma_i^2)^2 / sum_i sigma_i^4.

    Args:
        matrix: (..., n, m), states less their mean, or any matrix.

    Returns:
        (...), float64, from 1 to min(n, m).

    Raises:
        ValueError: if a matrix is zero, empty or holds NaN.

    Reference: Gao et al. 2017, https://doi.org/10.1101/214262

    >>> participation_ratio(torch.diag(torch.tensor([1.0, 1.0, 0.0]))).item()
    2.0
    """
    return 1 / _shares(matrix, 2).square().sum(-1)


def _shares(matrix: Tensor, power: int) -> Tensor:
    """Return the given power of each singular value, divided by the sum of all of them."""
    check_tensor("matrix", matrix)
    if matrix.ndim < 2 or 0 in matrix.shape:
        raise ValueError(f"matrix must have the shape (..., n, m) with n, m >= 1, got {tuple(matrix.shape)}")
    if not torch.isfinite(matrix).all():
        raise ValueError("matrix must be finite, got NaN or infinity")
    values = torch.linalg.svdvals(matrix.detach().double().cpu())
    if bool((values[..., 0] == 0).any()):
        raise ValueError("matrix must not be zero, got only zeros")
    powers = (values / values[..., :1]) ** power
    return powers / powers.sum(-1, keepdim=True)
