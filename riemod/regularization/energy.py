"""The energy of points by evidence: a signed matrix says which pairs attract, and no gradient goes back to it."""

from collections.abc import Callable

import torch
from torch import Tensor

from riemod._checks import check_choice
from riemod._torch import outside_graphs
from riemod.manifolds.base import Manifold
from riemod.regularization.inhibitors import CostLaw, as_inhibitor
from riemod.regularization.penalty import (
    Reduction,
    check_both,
    check_weight,
    divisor,
    nan_unless,
    penalty_of_coordinates,
)


@outside_graphs
def evidence_energy(
    points: Tensor,
    matrix: Tensor,
    manifold: Manifold,
    law: CostLaw | Callable[[Tensor], Tensor],
    reduction: Reduction = "mean",
    *,
    source_points: Tensor | None = None,
) -> Tensor:
    """Compute E = sum_jk [f+(d(x_j, y_k)) max(A_jk, 0) + f-(d(x_j, y_k)) max(-A_jk, 0)], or its mean over all entries.

    Value and gradients come from one pass of the penalty's tiles, as for `moduli_penalty`, and nothing of size n x n is
    stored. Costs may be negative: `Signed(f, Negated(f))` gives sum_jk f(d_jk) A_jk, where pairs of positive A attract
    and those of negative A repel if f rises with d.

    Args:
        points: (n, coordinate_dim), x_j.
        matrix: (n, m), A, the evidence, of any signs; no gradient is computed for it.
        manifold: gives d, in its unit of length.
        law: a `Signed` law, f+ and f-; or one inhibitor or callable for both signs, which then reads |A|.
        reduction: "mean" (sum / (n m)) or "sum".
        source_points: (m, coordinate_dim), y_k; the same points if not given (then m = n).

    Returns:
        A scalar of the matrix's dtype, float32 if that is narrower; differentiable once in the points and the
        manifold's parameters.

    Raises:
        ValueError: if a shape, device or reduction does not fit, or a point is off the manifold; on a GPU the result is
            NaN then.
        TypeError: if the matrix is not a dense floating-point tensor, a dtype differs, `manifold` is not a Manifold,
            or the law is neither a law nor callable.

    >>> from riemod.manifolds import Torus
    >>> from riemod.regularization.inhibitors import Diffusion, Negated, Signed
    >>> points, apart = torch.tensor([[0.0, 0.0], [3.0, 4.0]]), torch.tensor([[1.0, -1.0], [-1.0, 1.0]])
    >>> evidence_energy(points, apart, Torus(2), Signed(Diffusion(), Negated(Diffusion()))).item()
    -2.5
    """
    if not isinstance(manifold, Manifold):
        raise TypeError(f"manifold must be a Manifold, got {type(manifold).__name__}")
    law = law if isinstance(law, CostLaw) else as_inhibitor(law, "law")
    check_choice("reduction", reduction, ("mean", "sum"))
    sources = points if source_points is None else source_points
    held = check_both(manifold, points, source_points)
    check_weight(matrix, points, sources, "matrix")
    with torch.autocast(matrix.device.type, enabled=False):
        rows = manifold.coordinates(points)
        columns = rows if source_points is None else manifold.coordinates(source_points)
        scale = 1 / divisor(reduction, matrix.numel())
        energy = penalty_of_coordinates(matrix.detach(), rows, columns, manifold, law, 1, scale)
    return energy if held is None else nan_unless(held, energy)
