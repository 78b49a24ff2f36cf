"""Which weights of a run stay: how many, chosen by what, when and in which shapes."""

import math
from dataclasses import dataclass, field
from typing import Literal

import torch
from torch import Tensor, nn

from riemod._checks import check_integer
from riemod.manifolds import Euclidean
from riemod.masks import apply_masks
from riemod.pruning import (
    ConstantSchedule,
    CubicSchedule,
    DynamicSparsePruner,
    LinearSchedule,
    MagnitudePruner,
    geometric_mask,
)
from riemod.regularization import ModuliRegularizer, NeuronEmbedding
from riemod.regularization.weights import recurrent_weights
from riemod.tasks.config.fields import check_types, may_differ
from riemod.tasks.config.training import Training


@dataclass(frozen=True, kw_only=True)
class Masks:
    """Describes how a run becomes sparse."""

    sparsity: float = field(default=0.0, metadata=may_differ("replicas"))
    """Fraction of zeros after pruning, 0 to 1."""
    pruning: Literal["magnitude", "geometric", "dynamic"] = field(default="magnitude", metadata=may_differ("replicas"))
    """Drop the smallest weights while training; or a mask from the start, drawn by the arm's costs (uniformly without a
    manifold, and where all costs are the same), which stays; or one that moves by weights, gradients and costs."""
    targets: Literal["all", "hidden"] = field(default="all", metadata=may_differ("replicas"))
    """Weight matrices that are pruned: all, or the hidden ones alone, as masks from the start always are."""
    temperature: float = field(default=10.0, metadata=may_differ("replicas"))
    """Cost at which a pair's chance in a mask from the start, and its score while it moves, fall by e; 0 for a mask of
    the cheapest pairs."""
    update_every: int = field(default=100, metadata=may_differ("replicas"))
    """Steps from one move of a dynamic mask to the next, up to the tail epochs."""
    drop_fraction: float = field(default=0.3, metadata=may_differ("replicas"))
    """Fraction of the kept weights that the first move would exchange; it falls along half a cosine."""
    schedule: Literal["linear", "cubic"] = field(default="linear", metadata=may_differ("replicas"))
    """Course of the sparsity over the pruning epochs: the paper's, or the cubic one."""
    scope: Literal["global", "tensor"] = field(default="global", metadata=may_differ("replicas"))
    """Rank all weight matrices together, or prune each to the same sparsity."""
    blocks: int = field(default=0, metadata=may_differ("replicas"))
    """Side of the blocks that go whole from recurrent matrices, while the others lose single weights, to the same
    sparsity; 0 for single weights everywhere."""
    block_order: Literal["geometric", "index", "random"] = field(default="geometric", metadata=may_differ("replicas"))
    """What stands next to what in blocks: neurons along a curve through the manifold, as they are numbered, or in a
    fixed random order."""

    def __post_init__(self) -> None:
        check_types(self)
        if not 0 <= self.sparsity <= 1:
            raise ValueError(f"sparsity must be in [0, 1], got {self.sparsity!r}")
        if not 0 <= self.temperature < math.inf or (self.pruning == "dynamic" and self.temperature == 0):
            least = "above 0 for dynamic pruning" if self.pruning == "dynamic" else ">= 0"
            raise ValueError(f"temperature must be {least} and finite, got {self.temperature!r}")
        check_integer("update_every", self.update_every, least=1)
        if not 0 < self.drop_fraction <= 1:
            raise ValueError(f"drop_fraction must be above 0 and at most 1, got {self.drop_fraction!r}")
        check_integer("blocks", self.blocks, least=0)
        if self.blocks and self.pruning != "magnitude":
            raise ValueError(f"blocks need pruning='magnitude', got pruning={self.pruning!r}")
        if not self.blocks and self.block_order != "geometric":
            raise ValueError(f"block_order={self.block_order!r} needs blocks, got blocks=0")

    @property
    def from_start(self) -> bool:
        """Whether hidden matrices are masked before training, in place of magnitude pruning."""
        return self.pruning != "magnitude"

    def draw(self, model: nn.Module, moduli: ModuliRegularizer | None, generator: torch.Generator) -> None:
        """Mask every hidden matrix of a model at the sparsity and temperature, by the costs of pairs of neurons.

        Args:
            model: changed in place; draw its weights afterwards.
            moduli: on the model's hidden matrices, gives the costs; None for uniform masks.
            generator: draws the masks, one layer after another; arms that differ in costs alone get the same noise.
        """
        masks = {}
        for layer, (name, target) in enumerate(zip(hidden_names(model), recurrent_weights(model), strict=True)):
            if moduli is None:
                # Neurons that are all in one place cost each other the same.
                origin = torch.zeros(target.neurons, 1)
                place = NeuronEmbedding(Euclidean(1), target.neurons, learn=False, points=origin)
                masks[name] = geometric_mask(place, self.sparsity, temperature=math.inf, generator=generator)
            else:
                masks[name] = geometric_mask(
                    moduli, self.sparsity, layer=layer, temperature=self.temperature, generator=generator
                )
        apply_masks(model, masks)

    def sparsities(self, training: Training) -> ConstantSchedule | LinearSchedule | CubicSchedule:
        """Return the sparsity of every epoch that magnitude pruning reaches; masks from the start stay as they are."""
        if self.from_start:
            return ConstantSchedule(0.0)
        kind = {"linear": LinearSchedule, "cubic": CubicSchedule}[self.schedule]
        return kind(self.sparsity, training.epochs, tail=training.tail_epochs, start=training.dense_epochs)

    def pruner(
        self,
        model: nn.Module,
        moduli: ModuliRegularizer | None,
        sparsities: ConstantSchedule | LinearSchedule | CubicSchedule,
        generator: torch.Generator,
    ) -> MagnitudePruner:
        """Return the pruner of the run, which also keeps masks from the start and those of lottery tickets.

        Args:
            model: on its device.
            moduli: orders the neurons of geometric blocks.
            sparsities: of the epochs.
            generator: draws the order of the neurons in random blocks.
        """
        return MagnitudePruner(
            model,
            sparsities,
            targets=None if self.targets == "all" and not self.from_start else hidden_names(model),
            scope=self.scope,
            blocks=self.blocks or None,
            order=self._block_order(model, moduli, generator) if self.blocks else None,
        )

    def dynamic_pruner(
        self, model: nn.Module, moduli: ModuliRegularizer | None, training: Training
    ) -> DynamicSparsePruner | None:
        """Return what moves a mask while the net trains, or None if masks do not move."""
        if self.pruning != "dynamic":
            return None
        return DynamicSparsePruner(
            model,
            moduli,
            steps=training.steps_before_tail,
            update_every=self.update_every,
            drop_fraction=self.drop_fraction,
            temperature=self.temperature,
        )

    def _block_order(
        self, model: nn.Module, moduli: ModuliRegularizer | None, generator: torch.Generator
    ) -> ModuliRegularizer | Tensor | None:
        """Return what orders the neurons of recurrent layers, which all have the same number of neurons in a task."""
        if self.block_order == "geometric":
            return moduli
        neurons = recurrent_weights(model)[0].neurons
        return torch.arange(neurons) if self.block_order == "index" else torch.randperm(neurons, generator=generator)


def hidden_names(model: nn.Module) -> list[str]:
    """Return the qualified names of a model's hidden (recurrent) matrices, in module order."""
    names = {id(parameter): name for name, parameter in model.named_parameters()}
    return [names[id(target.tensor)] for target in recurrent_weights(model)]
