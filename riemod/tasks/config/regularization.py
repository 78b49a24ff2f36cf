"""What distance costs the weights of a run: manifold, inhibitor, strength, and the arm of the experiment."""

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

import torch
from torch import nn

from riemod import manifolds
from riemod._checks import check_at_least
from riemod.evidence import EVIDENCE, PointEvidence, evidence_by_name
from riemod.regularization import ModuliRegularizer, controls, inhibitors
from riemod.tasks.config.fields import check_types, may_differ

if TYPE_CHECKING:
    ManifoldName = ArmName = InhibitorName = EvidenceName = str
else:
    # The registries are the only lists of names: the command line offers these, and configurations are checked by them.
    ManifoldName = Literal["none", *manifolds.NAMES]
    ArmName = Literal[*controls.ARMS]
    InhibitorName = Literal[*inhibitors.BY_NAME]
    EvidenceName = Literal[*EVIDENCE]

# In these arms all pairs of neurons cost the same.
_FLAT_ARMS = ("none", "matched_l1")


@dataclass(frozen=True, kw_only=True)
class Regularization:
    """Describes a run's regularizer, or that it has none."""

    manifold: ManifoldName = field(default="none", metadata=may_differ("replicas"))
    """Moduli space of the hidden neurons; none for no regularizer."""
    inhibitor: InhibitorName = field(default="dog", metadata=may_differ("replicas"))
    """Cost of distance f(d), with its default parameters; for law="unsigned"."""
    law: Literal["unsigned", "signed"] = field(default="unsigned", metadata=may_differ("replicas"))
    """Weights of both signs pay f(d), as in Eq. 6; or positive ones pay 1 - k(d) and negative ones 1 + k(d), k the
    mean-free Gaussian kernel of the manifold. These cost 1 on average and dog 66 on the torus, so strength and
    temperature must differ."""
    strength: float = field(default=0.0, metadata=may_differ("replicas"))
    """Factor of the penalty."""
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
    """The geometric penalty, or a control for it on the same manifold: no penalty, L1 of the same mean coefficient, the
    coefficients shuffled over pairs, or points redrawn each epoch."""
    proximal: bool = field(default=False, metadata=may_differ("replicas"))
    """Shrink weights by rate x strength x f after each step, in place of the penalty's gradient; power 1 only."""

    def __post_init__(self) -> None:
        check_types(self)
        check_at_least("strength", self.strength, 0)
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
        if self.evidence != "weights" and not self.learn:
            raise ValueError(f"evidence={self.evidence!r} is for positions that are trained, got learn=False")
        if self.learn and self.arm != "moduli":
            raise ValueError(f"learn needs arm='moduli', for a control learns no points, got arm={self.arm!r}")
        if self.proximal and self.power != 1:
            raise ValueError(f"proximal needs power=1, got power={self.power!r}")

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
        signed = self.law == "signed"
        return ModuliRegularizer(
            model,
            space,
            inhibitor=inhibitors.Signed.mexican_hat(space) if signed else inhibitors.by_name(self.inhibitor),
            strength=self.strength,
            reduction=self.reduction,
            power=self.power,
            learn=self.learn,
            costs=controls.by_name(self.arm),
            generator=generator,
        )

    def build_evidence(self, moduli: ModuliRegularizer | None) -> PointEvidence | None:
        """Return what moves the regularizer's points, or None if Eq. 6 does, or if they stay.

        Args:
            moduli: from `build`.
        """
        source = evidence_by_name(self.evidence)
        if moduli is None or source is None:
            return None
        return PointEvidence(moduli, source)
