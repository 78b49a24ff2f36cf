"""The law that reads evidence: what pairs pay that belong together or apart, and what crowding costs."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Protocol, Self, runtime_checkable

import torch
from jaxtyping import Float
from torch import Tensor

from riemod._checks import check_at_least, check_positive, check_type, shown
from riemod.evidence.sources import normalized
from riemod.manifolds._uniform_pairs import mean_distance
from riemod.manifolds.base import Manifold
from riemod.regularization.inhibitors import CostLaw, Crowding, Gaussian, Inhibitor, Scaled, Signed, as_inhibitor
from riemod.regularization.penalty import penalty_of_coordinates

_WIDE, _NARROW = 2 * 0.63**2, 2 * 0.2**2
_PROBE = torch.linspace(0, 4, 401, dtype=torch.float64)


@runtime_checkable
class PointLaw(Protocol):
    """Reads a matrix of evidence as an energy of points: `EvidenceLaw`, or `riemod.coactivity.CoactivityLaw`."""

    def on(self, manifold: Manifold) -> Self:
        """Return the law with a scale that suits a manifold."""
        ...

    def energy(self, coordinates: Tensor, evidence: Tensor, manifold: Manifold) -> Tensor:
        """Compute the energy from tile coordinates, unchecked, for a law that has a scale."""
        ...


@dataclass(frozen=True)
class EvidenceLaw:
    """Says what a pair at distance d costs: E = sum_jk [f(d / s) a_jk+ + g(d / s) a_jk-] + c log mean_jk u(d / s).

    a is the evidence without its diagonal, divided by the sum of its magnitudes; a+ and a- are its positive part and
    the magnitude of its negative part. f draws together what belongs together, g drives apart what belongs apart, and
    the last term, the uniformity of Wang and Isola, keeps points from clumping: without it a ring breaks into clusters.

    Args:
        attraction: f, an `Inhibitor` or any callable of the distance.
        repulsion: g.
        crowding: u, positive; most at d = 0.
        uniformity: c >= 0, in units of the evidence; 0 for none.
        scale: s > 0, the length that f, g and u take for 1; the mean distance of uniform points if None.

    Raises:
        ValueError: if a number is out of its range, f and g are the same, so that the sign of the evidence has no
            effect, both are constant, so that no point would move, or u(0) is not positive.
        TypeError: if f, g or u is neither an Inhibitor nor callable.

    The widths of the defaults, 0.63 and 0.2 of the mean distance, come from trials on nets of other seeds
    (docs/learned.md).

    Reference: Wang and Isola 2020, https://arxiv.org/abs/2005.10242 (uniformity).

    >>> EvidenceLaw(uniformity=0.0).uniformity
    0.0
    """

    attraction: Inhibitor | Callable[[Tensor], Tensor] = Gaussian(1.0, _WIDE)  # noqa: RUF009, a frozen value
    repulsion: Inhibitor | Callable[[Tensor], Tensor] = Crowding(1.0, _WIDE)  # noqa: RUF009
    crowding: Inhibitor | Callable[[Tensor], Tensor] = Crowding(1.0, _NARROW)  # noqa: RUF009
    uniformity: float = 0.3
    scale: float | None = None
    _scaled: tuple[Signed, Inhibitor] | None = field(default=None, init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        for name in ("attraction", "repulsion", "crowding"):
            object.__setattr__(self, name, as_inhibitor(getattr(self, name), name))
        check_at_least("uniformity", self.uniformity, 0)
        if self.scale is not None:
            check_positive("scale", self.scale)
        near, far = (as_inhibitor(law)(_PROBE) for law in (self.attraction, self.repulsion))
        slopes = near.diff(), far.diff()
        if torch.allclose(near, far):
            raise ValueError(
                f"repulsion must differ from attraction, or the evidence's sign has no effect, got {self.repulsion}"
            )
        if not float(as_inhibitor(self.crowding)(_PROBE[:1])) > 0:
            raise ValueError(f"crowding must be positive at distance 0, got {shown(self.crowding)}")
        if not any(bool(slope.abs().max() > 0) for slope in slopes):
            raise ValueError("attraction and repulsion must depend on the distance, got two constants")
        if self.scale is not None:
            object.__setattr__(self, "_scaled", self._laws_at(self.scale))

    def _laws_at(self, scale: float) -> tuple[Signed, Inhibitor]:
        """Return the law of pairs, and the crowding, of distances in a unit of length."""
        attraction, repulsion, crowding = (
            Scaled(as_inhibitor(law), 1 / scale) for law in (self.attraction, self.repulsion, self.crowding)
        )
        return Signed(attraction, repulsion), crowding

    def on(self, manifold: Manifold) -> "EvidenceLaw":
        """Return the law with a scale, which is the mean distance of uniform points on the manifold if it has none."""
        check_type("manifold", manifold, Manifold, "a Manifold")
        return self if self.scale is not None else replace(self, scale=mean_distance(manifold))

    def energy(
        self, coordinates: Float[Tensor, "n k"], evidence: Float[Tensor, "n n"], manifold: Manifold
    ) -> Float[Tensor, ""]:
        """Compute E from tile coordinates, unchecked, tile by tile, for a law that has a scale."""
        assert self._scaled is not None
        matrix = normalized(evidence)
        pair_law, crowding = self._scaled

        def total(weight: Tensor, law: CostLaw, scale: float) -> Tensor:
            return penalty_of_coordinates(weight, coordinates, coordinates, manifold, law, 1, scale)

        energy = total(matrix, pair_law, 1.0)
        if not self.uniformity:
            return energy
        pairs = matrix.new_ones(()).expand_as(matrix)
        return energy + self.uniformity * total(pairs, crowding, 1 / matrix.numel()).log()
