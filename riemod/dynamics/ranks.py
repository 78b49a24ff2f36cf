"""How many directions a matrix, or a cloud of states, really uses: effective ranks and degeneracy."""

import torch
from jaxtyping import Float
from torch import Tensor

__all__ = ["degenerate_share", "effective_rank", "participation_ratio"]


def effective_rank(matrix: Float[Tensor, "... n m"]) -> Float[Tensor, "..."]:
    """exp(-sum_i p_i log p_i), p_i = sigma_i / sum sigma: the exponential of the entropy of the singular values.

    From 1 (rank one) to min(n, m) (all singular values equal). Of states, subtract their mean first.

    Args:
        matrix: (..., n, m), Jacobians, weights or centered states.

    Returns:
        (...), float64.

    Raises:
        ValueError: if a matrix is zero, empty or holds NaN.

    Reference: Roy and Vetterli 2007, https://infoscience.epfl.ch/record/110188

    >>> round(effective_rank(torch.eye(3)).item(), 6)
    3.0
    """
    share = _shares(matrix, 1)
    return torch.special.entr(share).sum(-1).exp()


def participation_ratio(matrix: Float[Tensor, "... n m"]) -> Float[Tensor, "..."]:
    """(sum_i sigma_i^2)^2 / sum_i sigma_i^4: the dimension of the principal components that share the variance.

    Args:
        matrix: (..., n, m), states with their mean subtracted, or any matrix.

    Returns:
        (...), float64, from 1 to min(n, m).

    Raises:
        ValueError: if a matrix is zero, empty or holds NaN.

    Reference: Gao et al. 2017, https://doi.org/10.1101/214262

    >>> participation_ratio(torch.diag(torch.tensor([1.0, 1.0, 0.0]))).item()
    2.0
    """
    return 1 / _shares(matrix, 2).square().sum(-1)


def degenerate_share(matrix: Float[Tensor, "... n m"], threshold: float = 0.1) -> Float[Tensor, "..."]:
    """The share of singular values below threshold |A|_F / sqrt(min(n, m)): directions that the map all but loses.

    |A|_F / sqrt(n) is what all singular values of an orthogonal matrix of the same Frobenius norm are: the least
    degenerate ones, with share 0.

    Args:
        matrix: (..., n, m), such as Jacobians or products of them.
        threshold: in (0, 1].

    Returns:
        (...), float64, in [0, 1).

    Raises:
        ValueError: if a matrix is zero, empty or holds NaN, or threshold is not in (0, 1].

    Reference: Orhan and Pitkow 2018, https://arxiv.org/abs/1701.09175 (degeneracy, and how skip connections break it)

    >>> degenerate_share(torch.diag(torch.tensor([1.0, 1.0, 1e-3, 0.0]))).item()
    0.5
    """
    if not 0 < threshold <= 1:
        raise ValueError(f"threshold must be in (0, 1], got {threshold!r}")
    share = _shares(matrix, 2)
    # Equal singular values lie on a threshold of 1, and rounding must not count them.
    return (share < threshold**2 / share.shape[-1] * (1 - 1e-9)).double().mean(-1)


def _shares(matrix: Tensor, power: int) -> Tensor:
    """Powers of the singular values over their sum."""
    if matrix.ndim < 2 or 0 in matrix.shape:
        raise ValueError(f"matrix must have the shape (..., n, m) with n, m >= 1, got {tuple(matrix.shape)}")
    if not torch.isfinite(matrix).all():
        raise ValueError("matrix must be finite, got NaN or infinity")
    values = torch.linalg.svdvals(matrix.detach().double().cpu())
    if bool((values[..., 0] == 0).any()):
        raise ValueError("matrix must not be zero: it has no rank to speak of")
    powers = (values / values[..., :1]) ** power
    return powers / powers.sum(-1, keepdim=True)
