"""The interface between a regularizer and evidence that its points follow besides the weights.

A new kind of evidence is one file: a `PointEvidence`, which a user describes it by, and the `GatheredEvidence` that it
makes for the layers of a regularizer.
"""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from contextlib import AbstractContextManager

from torch import Tensor, nn

from riemod.regularization.neurons import Neurons
from riemod.regularization.weights import RecurrentWeight


class GatheredEvidence(nn.Module, ABC):
    """Holds what was seen of some layers' neurons, and gives their points a gradient.

    Args:
        with_penalty: whether Eq. 6 moves the points too; if not, it moves the weights only.
    """

    def __init__(self, *, with_penalty: bool) -> None:
        super().__init__()
        self.with_penalty = with_penalty

    @abstractmethod
    def observe(self, states: Tensor, layer: int) -> None:
        """Take (..., n) states of one layer into account."""

    @abstractmethod
    def observing(self, every: int = 1) -> AbstractContextManager[None]:
        """Observe, inside the context, every `every`-th forward pass that a layer makes in training mode."""

    @abstractmethod
    def pull(self) -> Tensor:
        """Return a scalar of value 0 whose gradient moves the points."""


class PointEvidence(ABC):
    """Describes evidence that learned points follow; `ModuliRegularizer(evidence=...)` gathers it for its layers."""

    @abstractmethod
    def gather(self, layers: Sequence[tuple[RecurrentWeight, Neurons]]) -> GatheredEvidence:
        """Start to gather evidence about some layers' neurons.

        Args:
            layers: each hidden matrix with the embeddings of its neurons, which stay the caller's.
        """
