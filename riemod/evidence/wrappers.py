"""Sources made of another source: its profiles, and a control with the same numbers about other neurons."""

from collections.abc import Callable

import torch
from torch import Tensor

from riemod._checks import check_integer
from riemod.evidence.sources import Gathered, Source, as_source, cosines
from riemod.regularization.penalized import RecurrentWeight

_LARGEST_SEED = 2**63 - 1


class Profiles(Source):
    """Describes the cosine of two rows of a source's matrix: neurons belong together if the same others belong to both.

    Each entry averages over all other neurons, which takes noise out of the matrix and keeps its leading directions.
    The cosines of correlations are between -1 and 1, as `riemod.coactivity.least_squares` wants them.

    Args:
        source: the evidence, a `Source` or a function of the hidden blocks.

    >>> from riemod.evidence import Coactivity
    >>> Profiles(Coactivity()).source
    Coactivity(forget=0.05)
    """

    def __init__(self, source: Source | Callable[[Tensor], Tensor]) -> None:
        self.source = as_source(source)

    def gather(self, weight: RecurrentWeight) -> Gathered:
        return _Profiles(self.source.gather(weight))


class Permuted(Source):
    """Describes a source whose matrix is permuted over neurons at random: what a neuron is told is true of another.

    Points that follow it are spread and clustered as those of the source itself, and have nothing to do with the
    neurons. What they reach is what the law reaches alone. The permutation is saved in the `state_dict`.

    Args:
        source: the evidence, a `Source` or a function of the hidden blocks.
        seed: of the permutation, from 0 to 2^63 - 1.

    >>> from riemod.evidence import signed_weights
    >>> Permuted(signed_weights, seed=3).seed
    3
    """

    def __init__(self, source: Source | Callable[[Tensor], Tensor], seed: int = 0) -> None:
        self.source, self.seed = as_source(source), check_integer("seed", seed, 0, _LARGEST_SEED)

    def gather(self, weight: RecurrentWeight) -> Gathered:
        order = torch.randperm(weight.neurons, generator=torch.Generator().manual_seed(self.seed))
        return _Permuted(self.source.gather(weight), order.to(weight.tensor.device))


class _Profiles(Gathered):
    def __init__(self, gathered: Gathered) -> None:
        super().__init__()
        self.gathered = gathered
        self.needs_states = gathered.needs_states

    def observe(self, states: Tensor) -> None:
        self.gathered.observe(states)

    def matrix(self) -> Tensor:
        return cosines(self.gathered.matrix())


class _Permuted(Gathered):
    order: Tensor

    def __init__(self, gathered: Gathered, order: Tensor) -> None:
        super().__init__()
        self.gathered = gathered
        self.needs_states = gathered.needs_states
        self.register_buffer("order", order)

    def observe(self, states: Tensor) -> None:
        self.gathered.observe(states)

    def matrix(self) -> Tensor:
        return self.gathered.matrix()[self.order][:, self.order]
