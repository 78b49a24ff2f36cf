"""The configuration of a run, which composes the groups, and its flat form in files and on the command line."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, Self

from riemod._checks import check_integer, did_you_mean
from riemod.tasks.config.fields import Where, check_types, flat_fields, groups_of, may_differ
from riemod.tasks.config.masks import Masks
from riemod.tasks.config.memory import FLOAT, Need
from riemod.tasks.config.optimization import Optimization
from riemod.tasks.config.regularization import Regularization
from riemod.tasks.config.training import Computation, Training

PresetName = Literal[
    "smoke",
    "cpu",
    "paper",
    "steady",
    "cpu-small",
    "cpu-box",
    "cpu-circle",
    "cpu-torus",
    "cpu-sphere",
    "cpu-klein",
    "map-circle",
    "map-torus",
    "map-sphere",
]
InitializationName = Literal["default", "orthogonal", "identity", "nonnormal_chain", "sparsity_aware"]

# Keys of older configurations, and what they are called now.
_RENAMED = {"clip": "max_grad_norm"}


@dataclass(frozen=True, kw_only=True)
class RunConfig:
    """Holds every number of a run, in one group for each reader. Same config, same machine: same bits.

    A group checks itself and builds its part of the run; a task adds its own numbers beside the groups. Files and the
    command line know no groups: there every number has its own name alone (`to_dict`, `from_dict`, `replace`).
    """

    preset: PresetName = field(metadata=may_differ("recorded"))
    """Scale that the other defaults are taken from: seconds, minutes on 2 cores (cpu-small: less than one; those with
    the name of an arena are navigation's), or the paper's own (steady: likewise, by a recipe of ours, where a task has
    it)."""
    seed: int = field(default=0, metadata=may_differ("replicas"))
    """Seed of every random draw: weights, points and data."""
    initialization: InitializationName = field(default="default", metadata=may_differ("replicas"))
    """Draw of the weights; default is the task's own, or sparsity_aware where there is a mask from the start. A lottery
    ticket's is sparsity_aware unless it is asked for another."""
    computation: Computation = field(default_factory=Computation)
    training: Training
    optimization: Optimization
    regularization: Regularization = field(default_factory=Regularization)
    masks: Masks = field(default_factory=Masks)

    def __post_init__(self) -> None:
        check_types(self)
        check_integer("seed", self.seed, least=0)
        if self.masks.blocks and self.masks.block_order == "geometric" and self.regularization.manifold == "none":
            raise ValueError("block_order='geometric' needs a manifold, got manifold='none'; take index or random")

        if self.computation.cuda_graph and self.regularization.evidence != "weights":
            raise ValueError(
                "cuda_graph fixes what a step computes, and evidence is looked at in some steps only: "
                f"it needs evidence='weights', got {self.regularization.evidence!r}"
            )

    def memory_needs(self) -> list[Need]:
        """Return lower bounds on the memory that parts of the run take; a task adds those that it knows."""
        batches = self.training.batches_per_epoch
        return [Need("the losses of an epoch", {"batches_per_epoch": batches}, 2 * FLOAT * batches)]

    def to_dict(self) -> dict[str, Any]:
        """Return every number by its name, as JSON-ready values, without the groups."""
        return {
            name: getattr(self if group is None else getattr(self, group), name)
            for name, (group, _) in flat_fields(type(self)).items()
        }

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """Return the config of flat values, the inverse of `to_dict`.

        A key that is missing takes its default, as in a config from before it was added, and a key of an older name
        is read by its present one.

        Raises:
            ValueError: for an unknown key, a missing one that has no default, or a value outside its range.
            TypeError: for a value of another type.
        """
        values = dict(values)
        for old, new in _RENAMED.items():
            if old in values and new not in values:
                values[new] = values.pop(old)
        known, groups = flat_fields(cls), groups_of(cls)
        if unknown := sorted(set(values) - set(known)):
            raise ValueError(f"config has unknown keys {unknown}, got a {cls.__name__}{did_you_mean(unknown, known)}")
        if missing := sorted(name for name in known if known[name].is_required and name not in values):
            raise ValueError(f"config lacks the keys {missing}")
        parts: dict[str | None, dict[str, Any]] = {group: {} for group in (None, *groups)}
        for name, value in values.items():
            parts[known[name].group][name] = value
        return cls(**parts[None], **{group: kind(**parts[group]) for group, kind in groups.items()})

    def replace(self, **changes: Any) -> Self:
        """Return a config with other values in some numbers, which are named as in `to_dict`.

        Raises:
            ValueError: for an unknown name, or a value outside its range.
            TypeError: for a value of another type.
        """
        return self.from_dict(self.to_dict() | changes)

    @classmethod
    def names_that_may_differ(cls, where: Where) -> set[str]:
        """Return the names of the numbers that replicas, or a resumed run and its checkpoint, may differ in."""
        return {name for name, flat in flat_fields(cls).items() if flat.may_differ(where)}
