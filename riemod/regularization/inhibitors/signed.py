"""Laws under which positive and negative weights pay differently."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from riemod._checks import check_positive, is_number, shown
from riemod.manifolds._uniform_pairs import uniform_pairs
from riemod.manifolds.base import Manifold
from riemod.regularization.inhibitors.base import CostLaw, Inhibitor
from riemod.regularization.inhibitors.laws import Crowding, Gaussian
from riemod.regularization.inhibitors.wrappers import as_inhibitor, unwrapped

# Of the mean distance of uniform points. Narrower kernels follow tuning less.
_WIDTH = 0.63
# Below it hardly any pair feels the kernel, and both signs cost the same.
_LEAST_MEAN = 1e-6
_PROBE_DISTANCES = torch.linspace(0.0, 20.0, 401, dtype=torch.float64)


@dataclass(frozen=True)
class Signed(CostLaw):
    """Charges a weight by its sign: f+(d) w for w > 0, and f-(d) |w| for w < 0.

    With R = sum_jk [f+(d_jk) max(w_jk, 0) + f-(d_jk) max(-w_jk, 0)], distance shapes the sign of a weight and not its
    size alone: where excitation is cheap near and inhibition is cheap far, a Mexican hat costs least
    (`Signed.mexican_hat`). Under Eq. 6, f+ = f-, the sign plays no part. At w = 0 the slope is 0: the element of least
    norm of the subdifferential [-f-, f+], as for torch's |w|.

    Args:
        positive: f+, an `Inhibitor` or any callable of the distance.
        negative: f-, the same.

    Points that are learned with it follow signed weights: they collapse to one only if both laws attract every pair. A
    net whose weights all have one sign pays by that sign's law alone.

    Raises:
        ValueError: if both laws are the same on 0 <= d <= 20: then pass one of them.
        TypeError: if one is neither an Inhibitor nor callable.

    >>> law = Signed(Gaussian(amplitude=2.0), Crowding(amplitude=3.0))
    >>> law.positive(torch.tensor(0.0)).item(), law.negative(torch.tensor(0.0)).item(), law.collapses
    (0.0, 3.0, False)
    """

    positive: Inhibitor | Callable[[Tensor], Tensor]
    negative: Inhibitor | Callable[[Tensor], Tensor]

    def __post_init__(self) -> None:
        for name in ("positive", "negative"):
            object.__setattr__(self, name, as_inhibitor(getattr(self, name), name))
        with torch.no_grad():
            values = [part(_PROBE_DISTANCES.clone()) for part in self.parts]
        if torch.equal(*values):
            raise ValueError(
                f"negative must differ from positive, got the same law twice: pass {self.parts[0]} as the inhibitor"
            )

    @property
    def parts(self) -> tuple[Inhibitor, ...]:
        return self.positive, self.negative  # pyright: ignore[reportReturnType]

    @property
    def collapses(self) -> bool:
        return all(part.collapses for part in self.parts)

    @classmethod
    def mexican_hat(cls, manifold: Manifold, width: float | None = None) -> "Signed":
        """Make f+ = 1 - k and f- = 1 + k of the manifold's mean-free kernel k: near is excitatory, far inhibitory.

        k(d) = (exp(-d^2 / (2 t^2)) - m) / (1 - m), with m the mean of exp(-d^2 / (2 t^2)) over pairs of uniform points.
        So k(0) = 1, and the mean of k is 0: both signs cost 1 on average. f+ is 0 at d = 0 and f- is least far away.

        Args:
            manifold: gives m, and t if it is not given; points are drawn by a fixed seed, which leaves an error of
                about 1 %. A manifold that changes later, by a learned curvature, does not change the law.
            width: t > 0, a length; 0.63 of the mean distance of uniform points if None.

        Raises:
            ValueError: if the width is not positive and finite, or so wide that m > 1/2, where f- would be negative, or
                so narrow that m < 1e-6, where both laws would be the same for nearly all pairs.
            TypeError: if `manifold` is not a Manifold.

        >>> from riemod.manifolds import Torus
        >>> law = Signed.mexican_hat(Torus(2))
        >>> distances = torch.tensor([0.0, 1.0, 5.0])
        >>> [[round(cost, 2) for cost in part(distances).tolist()] for part in law.parts]
        [[0.0, 0.12, 1.33], [2.0, 1.88, 0.67]]
        """
        squared = uniform_pairs(manifold)
        width = _WIDTH * squared.sqrt().mean().item() if width is None else check_positive("width", width)
        # Divided before it is squared, so that a tiny width does not make 0 / 0.
        mean = (squared.sqrt() / width).square().mul(-0.5).exp().mean().item()
        if not _LEAST_MEAN <= mean <= 0.5:
            raise ValueError(
                f"width must give exp(-d^2 / (2 width^2)) a mean over uniform pairs from {_LEAST_MEAN:g} to 0.5 on "
                f"{manifold}, whose mean distance is {squared.sqrt().mean():.3g}, got {width!r}, which gives {mean:.3g}"
            )
        amplitude, spread = 1 / (1 - mean), 2 * width**2
        return cls(Gaussian(amplitude, spread), Crowding(amplitude, spread, floor=(1 - 2 * mean) * amplitude))


def as_law(inhibitor: CostLaw | Callable[[Tensor], Tensor]) -> CostLaw:
    """Return what a penalty may charge: a law unchanged, and any other callable f(d) as an inhibitor.

    Raises:
        ValueError: if the law, or a part of it, is `Negated`: weights would be paid for growing.
        TypeError: if it is neither a law nor callable, or is a class instead of an instance.

    >>> as_law(Gaussian())
    Gaussian(amplitude=100.0, width=5.0)
    """
    law = inhibitor if isinstance(inhibitor, CostLaw) else as_inhibitor(inhibitor)
    if any(unwrapped(part)[1] for part in law.parts):
        raise ValueError(f"inhibitor must cost at least 0 for a penalty, got {law}: negative costs are for evidence")
    return law


def cost_of(costs: Tensor, weights: Tensor) -> Tensor:
    """Return what weights cost: of costs (2, n, m) those of each weight's sign, and other costs as they are.

    Args:
        costs: (n, m), or (2, n, m) for positive weights, then for all others.
        weights: (n, m), or any shape that n and m broadcast with.

    >>> cost_of(torch.tensor([[[1.0, 2.0]], [[3.0, 4.0]]]), torch.tensor([[5.0, -5.0]]))
    tensor([[1., 4.]])
    """
    return costs if costs.ndim < 3 else torch.where(weights > 0, costs[0], costs[1])


def costs_at(law: CostLaw, squared: Tensor) -> Tensor:
    """Return the costs of pairs at squared distances (n, m): (n, m), or (2, n, m) if the weight's sign chooses."""
    costs = [part.of_squared_distance(squared) for part in law.parts]
    return costs[0] if len(costs) == 1 else torch.stack(costs)


def least_cost(costs: Tensor) -> Tensor:
    """Return what a pair costs a weight that may choose its sign: the less of both costs (2, n, m), or costs (n, m)."""
    return costs if costs.ndim < 3 else costs.amin(0)


def of_sign(costs: Tensor, sign: int | None) -> Tensor:
    """Return the costs (n, m) of weights of one sign, from what `costs_at` gives.

    Raises:
        ValueError: if the sign is not 1 or -1; None is for costs that are the same for both.

    >>> of_sign(torch.tensor([[[1.0]], [[3.0]]]), -1)
    tensor([[3.]])
    """
    if sign is not None and not (is_number(sign) and sign in (1, -1)):
        raise ValueError(f"sign must be 1, -1 or None, got {shown(sign)}")
    if costs.ndim < 3:
        return costs
    if sign is None:
        raise ValueError("sign must be 1 or -1 under a law with an inhibitor for each sign, got None")
    return costs[0 if sign == 1 else 1]
