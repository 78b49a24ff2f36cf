"""2:4 masks: keep two of every four consecutive weights of a row, the pattern of NVIDIA's sparse tensor cores.

Masks are made and tested on any device. The conversion to torch's compressed tensors needs a GPU. It was checked only
against torch's source and its CPU conversion, and was not run on CUDA.
"""

import torch
from jaxtyping import Bool, Float
from torch import Tensor
from torch.sparse import to_sparse_semi_structured

from riemod._arrays import check_tensor
from riemod._torch import semi_structured_limits
from riemod.pruning.geometric import geometric_prior

__all__ = ["semi_structured_mask", "semi_structured_weight"]

_DTYPES = (torch.float16, torch.bfloat16)


@torch.no_grad()
def semi_structured_mask(
    weight: Float[Tensor, "rows m"], costs: Float[Tensor, "n m"] | None = None, *, temperature: float = 10.0
) -> Bool[Tensor, "rows m"]:
    """Keep the two of every four weights w_{j,4i} .. w_{j,4i+3} with the largest |w| exp(-f / T).

    Of equal ones the earlier is kept. With all weights equal to 1 the mask depends on the geometry alone.

    Args:
        weight: (gates * n, m), m a multiple of 4; finite.
        costs: (n, m) costs f >= 0 of the pairs, the same for all gates, as from `ModuliRegularizer.coefficients()`.
            Without them |w| decides alone.
        temperature: T > 0 in units of the cost.

    Returns:
        A mask for `apply_masks`, of the weight's shape; half of its entries are True.

    Raises:
        TypeError: `weight` is no floating-point tensor.
        ValueError: a shape does not fit, a weight is not finite, or `temperature` is not above 0.

    Reference: Mishra et al. 2021, https://arxiv.org/abs/2104.08378.

    >>> semi_structured_mask(torch.tensor([[1.0, -3.0, 2.0, 0.0]]))
    tensor([[False,  True,  True, False]])
    >>> semi_structured_mask(torch.ones(1, 4), torch.tensor([[1.0, 9.0, 9.0, 2.0]]))
    tensor([[ True, False, False,  True]])
    """
    if not isinstance(weight, Tensor) or not weight.is_floating_point():
        raise TypeError(
            f"weight must be a floating-point tensor, got {getattr(weight, 'dtype', type(weight).__name__)}"
        )
    check_tensor("weight", weight)
    if weight.ndim != 2 or weight.numel() == 0 or weight.shape[1] % 4:
        raise ValueError(f"weight must be a matrix with a multiple of 4 columns, got shape {tuple(weight.shape)}")
    if not bool(weight.isfinite().all()):
        raise ValueError("weight must be finite, got NaN or infinity")
    scores = weight.abs().double()
    if costs is not None:
        check_tensor("costs", costs)
        if costs.ndim != 2 or costs.shape[1] != weight.shape[1] or len(costs) == 0 or len(weight) % len(costs):
            raise ValueError(f"costs must be (n, m) for a weight (gates * n, m), {_shape(weight)}, got {_shape(costs)}")
        prior = geometric_prior(costs, temperature).to(weight.device)
        scores *= prior.repeat(len(weight) // len(prior), 1)
    groups = scores.unflatten(1, (-1, 4))
    best = groups.sort(dim=-1, descending=True, stable=True).indices[..., :2]
    return torch.zeros_like(groups, dtype=torch.bool).scatter_(-1, best, True).flatten(1)


def semi_structured_weight(weight: Float[Tensor, "rows m"]) -> Tensor:
    """Return the matrix as torch's compressed 2:4 tensor, for `torch.nn.functional.linear` on sparse tensor cores.

    For inference: `linear.weight = nn.Parameter(semi_structured_weight(linear.weight.detach()), requires_grad=False)`.
    torch's recurrent layers pass their matrices to cuDNN, which takes dense ones only: write the loop of such a layer
    with `torch.nn.functional.linear(state, weight)`. This function was not run on CUDA.

    Args:
        weight: contiguous, float16 or bfloat16, on a CUDA device, with at most two non-zeros in every four consecutive
            entries of a row. Its rows and columns are multiples of what torch's backend asks for (16 and 16 for
            cuSPARSELt, 32 and 64 for CUTLASS). float32 is refused: torch's pattern is then 1:2, and weights of a 2:4
            matrix would be lost silently.

    Returns:
        A `torch.sparse.SparseSemiStructuredTensor`.

    Raises:
        TypeError: `weight` is of another type or dtype.
        ValueError: `weight` has another device, shape or layout, or a group of four with more than two weights.

    Reference: https://docs.pytorch.org/docs/stable/sparse.html#sparse-semi-structured-tensors
    """
    if not isinstance(weight, Tensor) or weight.dtype not in _DTYPES:
        kind = weight.dtype if isinstance(weight, Tensor) else type(weight).__name__
        raise TypeError(f"weight must be a float16 or bfloat16 tensor, got {kind}")
    backend, rows, columns = semi_structured_limits(weight.dtype)
    if weight.ndim != 2 or weight.numel() == 0 or weight.shape[0] % rows or weight.shape[1] % columns:
        raise ValueError(
            f"weight must have rows in multiples of {rows}, columns of {columns}, for {backend}, got {_shape(weight)}"
        )
    if not weight.is_contiguous():
        raise ValueError("weight must be contiguous, got a strided view: call contiguous()")
    check_tensor("weight", weight)
    full = (weight.unflatten(1, (-1, 4)) != 0).sum(-1) > 2
    if bool(full.any()):
        row, group = (int(index) for index in full.nonzero()[0])
        raise ValueError(
            f"weight must have at most two weights in every four of a row, but {int(full.sum())} groups have more, the "
            f"first in row {row} from column {4 * group}: semi_structured_mask gives such a mask"
        )
    if weight.device.type != "cuda":
        raise ValueError(f"weight must be on a CUDA device, where torch's 2:4 kernels are, got {weight.device}")
    return to_sparse_semi_structured(weight)


def _shape(tensor: Tensor) -> str:
    return f"shape {tuple(tensor.shape)}"
