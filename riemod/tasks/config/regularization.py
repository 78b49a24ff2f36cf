"""What distance costs the weights of a run: manifold, inhibitor, strength, and the arm of the experiment."""

import functools
import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

import torch
from torch import nn

from riemod import manifolds
from riemod._checks import check_at_least, check_fraction, check_positive
from riemod.evidence import EVIDENCE, PointEvidence, evidence_by_name
from riemod.regularization import AutoStrength, ModuliRegularizer, controls, inhibitors
from riemod.regularization.budget import matching_factor
from riemod.regularization.strength import SHARE
from riemod.tasks.config.fields import check_types, may_differ

if TYPE_CHECKING:
    ManifoldName = ArmName = InhibitorName = EvidenceName = str
else:
    # The registries are the only lists of names: the command line offers these, and configurations are checked by them.
    ManifoldName = Literal["none", *manifolds.NAMES]
    ArmName = Literal[*controls.ARMS]
    InhibitorName = Literal[*inhibitors.BY_NAME]
    EvidenceName = Literal[*EVIDENCE]

AUTO = "auto"
# In these arms all pairs of neurons cost the same.
_FLAT_ARMS = ("none", "matched_l1", "l1")
_PARAMETER = "inhibitor_"
# The share of cheap pairs is then right to about a hundredth of itself.
_PAIRS = 1 << 17


@dataclass(frozen=True, kw_only=True)
class Regularization:
    """Describes a run's regularizer, or that it has none."""

    manifold: ManifoldName = field(default="none", metadata=may_differ("replicas"))
    """Moduli space of the hidden neurons; none for no regularizer."""
    inhibitor: InhibitorName = field(default="dog", metadata=may_differ("replicas"))
    """Cost of distance f(d); for law="unsigned"."""
    inhibitor_amplitude: float | None = field(default=None, metadata=may_differ("replicas"))
    """Scale of f, for every inhibitor but indrnn; None for the inhibitor's own number, here and below."""
    inhibitor_narrow: float | None = field(default=None, metadata=may_differ("replicas"))
    """Squared length of the inner Gaussian of dog."""
    inhibitor_wide: float | None = field(default=None, metadata=may_differ("replicas"))
    """Squared length of the outer Gaussian of dog."""
    inhibitor_width: float | None = field(default=None, metadata=may_differ("replicas"))
    """Squared length of ricker, gaussian and crowding."""
    inhibitor_floor: float | None = field(default=None, metadata=may_differ("replicas"))
    """Least cost of dog and crowding."""
    inhibitor_exponent: float | None = field(default=None, metadata=may_differ("replicas"))
    """Exponent of diffusion: f(d) = amplitude d^exponent."""
    inhibitor_frequency: float | None = field(default=None, metadata=may_differ("replicas"))
    """Frequency of sinusoid, radians per unit of length."""
    inhibitor_cost: float | None = field(default=None, metadata=may_differ("replicas"))
    """Cost of indrnn."""
    law: Literal["unsigned", "signed"] = field(default="unsigned", metadata=may_differ("replicas"))
    """Weights of both signs pay f(d), as in Eq. 6; or positive ones pay 1 - k(d) and negative ones 1 + k(d), k the
    mean-free Gaussian kernel of the manifold. These cost 1 on average and dog 66 on the torus, so strength and
    temperature must differ."""
    strength: float | Literal["auto"] = field(default=0.0, metadata=may_differ("replicas"))
    """Factor of the penalty; auto finds it while the net trains, and the record says what it came to."""
    strength_share: float = field(default=SHARE, metadata=may_differ("replicas"))
    """Of strength="auto": norm of the penalty's gradient on the weights, as a share of the task's gradient."""
    mean_cost: float | None = field(default=None, metadata=may_differ("replicas"))
    """Mean coefficient over the pairs of the points at the start, to which all coefficients are scaled, so that arms
    differ in their geometry alone; None to leave them as the inhibitor has them."""
    cheap_share: float | None = field(default=None, metadata=may_differ("replicas"))
    """Share of pairs that cost less than half of the most, to which the manifold is scaled (`match_budget`); None to
    leave the manifold in its own size."""
    reduction: Literal["mean", "sum"] = field(default="mean", metadata=may_differ("replicas"))
    """Mean of f |w|^power over the recurrent matrix, or its sum."""
    power: float = field(default=1.0, metadata=may_differ("replicas"))
    """Exponent of |w|, at least 1."""
    learn: bool = field(default=False, metadata=may_differ("replicas"))
    """Train the neurons' positions together with the weights."""
    evidence: EvidenceName = "weights"
    """What positions that are trained follow: the weights by the gradient of Eq. 6 itself, or a matrix of evidence:
    absolute or signed weights, cosines of incoming weights, co-activity, or a mix (both: absolute and coactivity)."""
    arm: ArmName = field(default="moduli", metadata=may_differ("replicas"))
    """The geometric penalty, or a control for it on the same manifold: no penalty, L1 of the same mean coefficient
    or of coefficient 1, coefficients shuffled over pairs or over all entries, or points redrawn each epoch."""
    proximal: bool = field(default=False, metadata=may_differ("replicas"))
    """Shrink weights by rate x strength x f after each step, in place of the penalty's gradient; power 1 only."""

    def __post_init__(self) -> None:
        check_types(self)
        if self.strength != AUTO:
            check_at_least("strength", self.strength, 0)
        check_positive("strength_share", self.strength_share)
        if self.mean_cost is not None:
            check_positive("mean_cost", self.mean_cost)
        if self.cheap_share is not None:
            check_fraction("cheap_share", self.cheap_share)
        if not 1 <= self.power < math.inf:
            raise ValueError(f"power must be finite and >= 1, got {self.power!r}")
        if self.manifold == "none":
            if self.learn:
                raise ValueError("learn needs a manifold, got manifold='none'")
            if self.arm != "moduli":
                raise ValueError(f"arm={self.arm!r} is a control for a manifold and needs one, got manifold='none'")
            if self.proximal:
                raise ValueError("proximal needs a manifold, got manifold='none'")
            if self.law == "signed":
                raise ValueError("law='signed' needs a manifold, got manifold='none'")
        if self.law == "signed" and self.inhibitor != "dog":
            raise ValueError(
                f"inhibitor must be left at its default with law='signed', whose costs come from the manifold, got "
                f"{self.inhibitor!r}"
            )
        geometric = [_PARAMETER + name for name in self.inhibitor_parameters]
        geometric += [] if self.cheap_share is None else ["cheap_share"]
        if self.law == "signed" and geometric:
            raise ValueError(f"{geometric[0]} must be None with law='signed', whose costs come from the manifold")
        inhibitors.by_name(self.inhibitor, **self.inhibitor_parameters)
        if self.evidence != "weights" and not self.learn:
            raise ValueError(f"evidence={self.evidence!r} is for positions that are trained, got learn=False")
        if self.learn and self.arm != "moduli":
            raise ValueError(f"learn needs arm='moduli', for a control learns no points, got arm={self.arm!r}")
        if self.proximal and self.strength == AUTO:
            raise ValueError("strength must be a number with proximal, which has no gradient to measure, got 'auto'")
        if self.proximal and self.power != 1:
            raise ValueError(f"proximal needs power=1, got power={self.power!r}")

    @property
    def inhibitor_parameters(self) -> dict[str, float]:
        """The parameters of the inhibitor that are not its own defaults, by their names."""
        return {
            name.removeprefix(_PARAMETER): value
            for name, value in vars(self).items()
            if name.startswith(_PARAMETER) and value is not None
        }

    @property
    def tells_pairs_apart(self) -> bool:
        """Whether some pairs of neurons cost more than others."""
        return self.manifold != "none" and self.arm not in _FLAT_ARMS

    @property
    def costs_are_fixed(self) -> bool:
        """Whether the penalty is linear in |w|, with coefficients that stay the same for an epoch."""
        return not (self.learn or self.proximal) and self.power == 1 and self.law == "unsigned"

    def build(self, model: nn.Module, generator: torch.Generator) -> ModuliRegularizer | None:
        """Return the regularizer on the model's hidden matrices, or None without a manifold.

        Args:
            model: on the CPU.
            generator: draws the points.
        """
        if self.manifold == "none":
            return None
        space = manifolds.by_name(self.manifold)
        law: inhibitors.CostLaw
        if self.law == "signed":
            law = inhibitors.Signed.mexican_hat(space)
        else:
            law = inhibitors.by_name(self.inhibitor, **self.inhibitor_parameters)
            if self.cheap_share is not None:
                space = space.scaled(_scale(self.manifold, law, self.cheap_share))
        moduli = ModuliRegularizer(
            model,
            space,
            inhibitor=law,
            strength=1.0 if isinstance(self.strength, str) else self.strength,
            reduction=self.reduction,
            power=self.power,
            learn=self.learn,
            costs=controls.by_name(self.arm),
            generator=generator,
        )
        if self.mean_cost is not None and (mean := _mean_cost(moduli)) > 0:
            moduli.strength *= self.mean_cost / mean
        return moduli

    def build_strength(self, moduli: ModuliRegularizer | None) -> AutoStrength | None:
        """Return what scales the penalty while the net trains, or None if the strength is a number.

        Args:
            moduli: from `build`, on the device of its weights.
        """
        return None if moduli is None or self.strength != AUTO else AutoStrength(moduli, self.strength_share)

    def build_evidence(self, moduli: ModuliRegularizer | None) -> PointEvidence | None:
        """Return what moves the regularizer's points, or None if Eq. 6 does, or if they stay.

        Args:
            moduli: from `build`.
        """
        source = evidence_by_name(self.evidence)
        if moduli is None or source is None:
            return None
        return PointEvidence(moduli, source)


@functools.cache
def _scale(manifold: str, inhibitor: inhibitors.Inhibitor, share: float) -> float:
    """Return the factor by which a manifold is scaled so that this share of pairs is cheap."""
    return matching_factor(manifolds.by_name(manifold), inhibitor, share, pairs=_PAIRS)


def _mean_cost(moduli: ModuliRegularizer) -> float:
    """Return the mean coefficient over all pairs, signs and layers, which have the same number of neurons in a task."""
    means = [
        moduli.coefficients(layer, sign=sign).mean(dtype=torch.float64)
        for layer in range(len(moduli.weights))
        for sign in (1, -1)
    ]
    return float(torch.stack(means).mean())
