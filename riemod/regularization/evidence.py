"""What learned points follow besides the weights: the interface between a regularizer and any other evidence."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from contextlib import AbstractContextManager

from torch import Tensor, nn

from riemod.regularization.embedding import NeuronEmbedding
from riemod.regularization.weights import RecurrentWeight

Neurons = Sequence[tuple[NeuronEmbedding, slice]]
"""Each embedding of a layer with the neurons that it holds: several if they live on several manifolds."""


class GatheredEvidence(nn.Module, ABC):
    """What was seen of some layers' neurons, and the gradient that it gives to their points.

    Args:
        alone: whether points follow this evidence only, so that Eq. 6 moves the weights and leaves the points alone.
    """

    def __init__(self, *, alone: bool) -> None:
        super().__init__()
        self.alone = alone

    @abstractmethod
    def observe(self, states: Tensor, layer: int) -> None:
        """Take up (..., n) states of one layer."""

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
