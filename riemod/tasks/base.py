"""What every task has: a frozen configuration with every number of a run in it, and five methods."""

import dataclasses
import math
import types
import typing
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Generic, Literal, NamedTuple, Self, TypeVar

import torch
from torch import Tensor, nn

ManifoldName = Literal["none", "circle", "sphere", "torus", "torus6", "klein", "euclidean2", "euclidean3", "poincare"]
ArmName = Literal["moduli", "none", "matched_l1", "shuffled", "random_geometry"]
InhibitorName = Literal["dog", "ricker", "gaussian", "diffusion", "sinusoid", "indrnn"]
PresetName = Literal["smoke", "cpu", "paper", "steady", "cpu-box", "cpu-circle", "cpu-torus", "cpu-sphere", "cpu-klein"]
InitializationName = Literal["default", "orthogonal", "identity", "nonnormal_chain", "sparsity_aware"]


@dataclass(frozen=True, kw_only=True)
class RunConfig:
    """Every number of a run. Same config, same machine: same bits."""

    preset: PresetName
    """Scale that the other defaults are taken from: seconds, minutes on 2 cores (those with the name of an arena are
    navigation's), or the paper's own (steady: likewise, by a recipe of ours, where a task has it)."""
    seed: int = 0
    """Seed of every random draw: weights, points and data."""
    device: str = "cpu"
    """Where to train: cpu, cuda, cuda:1, ..."""
    threads: int | None = None
    """CPU threads; None for torch's choice. The same bits need the same number."""

    matmul: Literal["highest", "high", "medium"] = "highest"
    """Precision of float32 matrix products, as torch names it: float32 throughout, TF32 where the device has it, or
    bfloat16 where it has that. Medium is about twice as fast on CPUs with AVX-512 BF16 or AMX."""
    tensorboard: bool = False
    """Also write the metrics of every epoch as TensorBoard event files, in the run's folder."""

    epochs: int
    """Epochs, each of them `batches_per_epoch` steps."""
    batches_per_epoch: int
    """Training steps an epoch."""
    batch_size: int
    """Sequences in a batch."""
    learning_rate: float
    """The optimizer's rate for the weights at the start."""
    learning_rate_decay: Literal["none", "tail", "anneal"] = "none"
    """Course of the rates: constant, along half a cosine down to 2 percent over the tail epochs, or divided after every
    epoch whose validation loss is no new minimum."""
    anneal_factor: float = 4.0
    """Divisor of the rates in that last course, above 1."""
    warmup_steps: int = 0
    """Steps over which the rates first rise in proportion to the step."""
    optimizer: Literal["adam", "sgd"] = "adam"
    """What moves the weights: Adam, or plain stochastic gradient descent; points follow Riemannian Adam either way."""
    embedding_learning_rate: float = 1e-3
    """Riemannian Adam's rate for the points, in units of the manifold's length a step."""
    weight_decay: float = 0.0
    """Decoupled weight decay of the weights a step, times the rate; never on points."""
    clip: float | None = None
    """Largest norm of the gradient; None to leave it as it is."""
    initialization: InitializationName = "default"
    """Draw of the weights; default is the task's own, or sparsity_aware where there is a mask from the start. A lottery
    ticket's is sparsity_aware unless it is asked for another."""
    evaluation_batches: int = 5
    """Batches of the final evaluation, drawn afresh and the same for every run of a task."""

    manifold: ManifoldName = "none"
    """Moduli space of the hidden neurons; none for no regularizer."""
    inhibitor: InhibitorName = "dog"
    """Cost of distance f(d), with its default parameters."""
    strength: float = 0.0
    """Factor of the penalty."""
    reduction: Literal["mean", "sum"] = "mean"
    """Mean of f |w|^power over the recurrent matrix, or its sum."""
    power: float = 1.0
    """Exponent of |w|, at least 1."""
    learn: bool = False
    """Train the neurons' positions together with the weights."""
    evidence: Literal["weights", "coactivity", "both"] = "weights"
    """What positions that are trained follow: the weights (Eq. 6), which neurons are active together, or both, each
    with the penalty's strength."""
    arm: ArmName = "moduli"
    """The geometric penalty, or a control for it on the same manifold: no penalty, L1 of the same mean coefficient, the
    coefficients shuffled over pairs, or points redrawn each epoch."""
    proximal: bool = False
    """Shrink weights by rate x strength x f after each step, in place of the penalty's gradient; power 1 only."""

    sparsity: float = 0.0
    """Fraction of zeros after pruning, 0 to 1."""
    pruning: Literal["magnitude", "geometric", "dynamic"] = "magnitude"
    """Drop the smallest weights while training; or a mask from the start, drawn by the arm's costs (uniformly without a
    manifold, and where all costs are the same), which stays; or one that moves by weights, gradients and costs."""
    targets: Literal["all", "hidden"] = "all"
    """Weight matrices that are pruned: all, or the hidden ones alone, as masks from the start always are."""
    temperature: float = 10.0
    """Cost at which a pair's chance in a mask from the start, and its score while it moves, fall by e; 0 for a mask of
    the cheapest pairs."""
    update_every: int = 100
    """Steps from one move of a dynamic mask to the next, up to the tail epochs."""
    drop_fraction: float = 0.3
    """Fraction of the kept weights that the first move would exchange; it falls along half a cosine."""
    schedule: Literal["linear", "cubic"] = "linear"
    """Course of the sparsity over the pruning epochs: the paper's, or the cubic one."""
    dense_epochs: int = 0
    """Epochs before the first magnitude pruning."""
    tail_epochs: int = 0
    """Epochs after the last pruning, or move of a mask, to recover."""
    scope: Literal["global", "tensor"] = "global"
    """Rank all weight matrices together, or prune each to the same sparsity."""
    blocks: int = 0
    """Side of the blocks that go whole from recurrent matrices, while the others lose single weights, to the same
    sparsity; 0 for single weights everywhere."""
    block_order: Literal["geometric", "index", "random"] = "geometric"
    """What stands next to what in blocks: neurons along a curve through the manifold, as they are numbered, or in a
    fixed random order."""

    def __post_init__(self) -> None:
        for name, hint in typing.get_type_hints(type(self)).items():
            _check_type(name, getattr(self, name), hint)
        for name in ("epochs", "batches_per_epoch", "batch_size", "evaluation_batches"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1, got {getattr(self, name)}")
        if self.threads is not None and self.threads < 1:
            raise ValueError(f"threads must be at least 1, got {self.threads}")
        for name in ("learning_rate", "embedding_learning_rate"):
            if not 0 < getattr(self, name) < math.inf:
                raise ValueError(f"{name} must be positive and finite, got {getattr(self, name)!r}")
        for name in ("weight_decay", "strength"):
            if not 0 <= getattr(self, name) < math.inf:
                raise ValueError(f"{name} must be >= 0 and finite, got {getattr(self, name)!r}")
        if not 1 < self.anneal_factor < math.inf:
            raise ValueError(f"anneal_factor must be above 1 and finite, got {self.anneal_factor!r}")
        if self.warmup_steps < 0:
            raise ValueError(f"warmup_steps must be >= 0, got {self.warmup_steps}")
        if self.clip is not None and not self.clip > 0:
            raise ValueError(f"clip must be positive, got {self.clip!r}")
        if not 1 <= self.power < math.inf:
            raise ValueError(f"power must be finite and >= 1, got {self.power!r}")
        if not 0 <= self.sparsity <= 1:
            raise ValueError(f"sparsity must be in [0, 1], got {self.sparsity!r}")
        if not 0 <= self.temperature < math.inf or (self.pruning == "dynamic" and self.temperature == 0):
            least = "above 0 for dynamic pruning" if self.pruning == "dynamic" else ">= 0"
            raise ValueError(f"temperature must be {least} and finite, got {self.temperature!r}")
        if self.update_every < 1:
            raise ValueError(f"update_every must be at least 1, got {self.update_every}")
        if not 0 < self.drop_fraction <= 1:
            raise ValueError(f"drop_fraction must be above 0 and at most 1, got {self.drop_fraction!r}")
        if self.dense_epochs < 0 or self.tail_epochs < 0 or self.dense_epochs + self.tail_epochs >= self.epochs:
            raise ValueError(
                f"dense_epochs and tail_epochs must be >= 0 and leave some of epochs={self.epochs} for pruning, "
                f"got dense_epochs={self.dense_epochs}, tail_epochs={self.tail_epochs}"
            )
        if self.learn and self.manifold == "none":
            raise ValueError("learn needs a manifold, got manifold='none'")
        if self.evidence != "weights" and not self.learn:
            raise ValueError(f"evidence={self.evidence!r} is for positions that are trained, got learn=False")
        if self.evidence == "both" and self.strength == 0:
            raise ValueError("evidence='both' needs a strength above 0, which both have, got strength=0.0")
        if self.arm != "moduli" and self.manifold == "none":
            raise ValueError(f"arm={self.arm!r} is a control for a manifold and needs one, got manifold='none'")
        if self.learn and self.arm != "moduli":
            raise ValueError(f"learn needs arm='moduli', for a control learns no points, got arm={self.arm!r}")
        if self.proximal and self.manifold == "none":
            raise ValueError("proximal needs a manifold, got manifold='none'")
        if self.proximal and self.power != 1:
            raise ValueError(f"proximal needs power=1, got power={self.power!r}")
        if self.blocks < 0:
            raise ValueError(f"blocks must be >= 0, got {self.blocks}")
        if self.blocks and self.pruning != "magnitude":
            raise ValueError(f"blocks need pruning='magnitude', got pruning={self.pruning!r}")
        if self.blocks and self.block_order == "geometric" and self.manifold == "none":
            raise ValueError("block_order='geometric' needs a manifold, got manifold='none'; take index or random")
        if not self.blocks and self.block_order != "geometric":
            raise ValueError(f"block_order={self.block_order!r} needs blocks, got blocks=0")
        if self.seed < 0:
            raise ValueError(f"seed must be >= 0, got {self.seed}")

    def to_dict(self) -> dict[str, Any]:
        """The fields as JSON-ready values."""
        return dataclasses.asdict(self)

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Self:
        """The inverse of `to_dict`; a key that is missing takes its default, as in a config from before it was added.

        Raises:
            ValueError: for an unknown key, a missing one that has no default, or a value outside its range.
            TypeError: for a value of another type.
        """
        required = {field.name: field.default is dataclasses.MISSING for field in dataclasses.fields(cls)}
        if unknown := sorted(set(values) - set(required)):
            raise ValueError(f"config has unknown keys {unknown}; {cls.__name__} knows {sorted(required)}")
        if missing := sorted(name for name in required if required[name] and name not in values):
            raise ValueError(f"config lacks the keys {missing}")
        return cls(**values)


def _check_type(name: str, value: object, hint: Any) -> None:
    choices = typing.get_args(hint)
    if typing.get_origin(hint) is Literal:
        if value not in choices:
            raise ValueError(f"{name} must be one of {', '.join(choices)}, got {value!r}")
        return
    kinds: tuple[type, ...] = choices if isinstance(hint, types.UnionType) else (hint,)
    # To Python True is an int, and 1 no float; to a reader of a config it is the other way round.
    fits = isinstance(value, bool) if bool in kinds else isinstance(value, kinds) and not isinstance(value, bool)
    if not fits and not (float in kinds and type(value) is int):
        expected = " or ".join("None" if kind is types.NoneType else kind.__name__ for kind in kinds)
        raise TypeError(f"{name} must be of type {expected}, got {value!r}")


ConfigT = TypeVar("ConfigT", bound=RunConfig)
Batch = tuple[Tensor, ...]


class HiddenUnits(NamedTuple):
    """A recurrent layer of one layer and direction, and what else its units are in: see `permute_neurons`."""

    layer: nn.RNN | nn.GRU | nn.LSTM
    sources: tuple[nn.Linear, ...]
    consumers: tuple[nn.Linear | nn.RNNBase, ...]


class Task(ABC, Generic[ConfigT]):
    """One task at one configuration: its model, data, loss and metrics."""

    name: ClassVar[str]
    presets: ClassVar[dict[str, RunConfig]]
    units: ClassVar[dict[str, str]]
    primary_metric: ClassVar[str]

    def __init__(self, config: ConfigT) -> None:
        self.config = config
        try:
            self.device = torch.empty(0, device=config.device).device
        except (RuntimeError, AssertionError) as error:
            raise ValueError(f"device must name one that torch has here, got {config.device!r}: {error}") from error

    @classmethod
    def of_run(cls, config: ConfigT, cache: Path) -> Self:
        """The task of a run; `cache` is a folder where `keep` may have left what is costly to derive from its data."""
        del cache
        return cls(config)

    def keep(self, cache: Path) -> None:
        """Leave in `cache` what is costly to derive from the task's data; nothing for a task that draws its data."""

    def data(self) -> dict[str, Any]:
        """What tells the task's data from other data, JSON-ready; a checkpoint goes on with the same data alone."""
        return {}

    @abstractmethod
    def build_model(self) -> nn.Module:
        """A fresh model on the CPU, drawn from torch's global generator, which the caller seeds."""

    @abstractmethod
    def hidden_units(self, model: nn.Module) -> list[HiddenUnits]:
        """The recurrent layers of a model of `build_model` whose units can be brought into another order."""

    @abstractmethod
    def batches(self, generator: torch.Generator, count: int) -> Iterator[Batch]:
        """That many training batches on the task's device, drawn from a generator of that device."""

    @abstractmethod
    def loss(self, model: nn.Module, batch: Batch) -> Tensor:
        """The task's loss on a batch, a scalar."""

    @abstractmethod
    def evaluate(self, model: nn.Module, generator: torch.Generator, batches: int) -> dict[str, float]:
        """Metrics on fresh batches, by name, the "loss" among them; `units` has the unit of each."""

    def validate(self, model: nn.Module, generator: torch.Generator) -> dict[str, float]:
        """Metrics after an epoch, the "loss" among them: `evaluate` on one batch, unless a task has better."""
        return self.evaluate(model, generator, 1)

    @abstractmethod
    def reference_levels(self, generator: torch.Generator) -> dict[str, float]:
        """What a perfect answer and trivial answers score, by metric name: the levels to read the metrics against."""


class ReplicaTask(Task[ConfigT]):
    """A task whose models can be trained side by side, as one batched computation."""

    @abstractmethod
    def replica_losses(self, parameters: Mapping[str, Tensor], batch: Batch) -> Tensor:
        """(N,) losses of N models, each on its own batch: what `loss` gives for each of them.

        Args:
            parameters: the models' parameters by name, stacked along a first axis of size N.
            batch: the parts of the N batches, stacked likewise.
        """
