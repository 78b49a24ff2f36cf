"""Sources of evidence: symmetric matrices that say which neurons of a layer belong near each other, and which apart.

Entry a_jk > 0 says that neurons j and k belong near each other, a_jk < 0 that they belong apart. Its size is relative:
the law normalizes the matrix. Functions of the hidden matrix are sources as they are; a source that remembers or that
needs more than the hidden matrix is a `Source`, which makes a `Gathered` for each layer.
"""

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor, nn

from riemod._arrays import check_tensor
from riemod._checks import check_items, check_share, is_number, kind_of, shown, takes
from riemod.coactivity import RunningCorrelations
from riemod.regularization.embedding import working_dtype
from riemod.regularization.penalized import Owner, RecurrentWeight


class Gathered(nn.Module, ABC):
    """Holds what one source knows about the neurons of one layer."""

    needs_states: bool = False
    """Whether `observe` must be called before `matrix` says anything."""

    @abstractmethod
    def matrix(self) -> Float[Tensor, "n n"]:
        """Return the evidence as it stands, symmetric, finite, without a graph."""

    def observe(self, states: Tensor) -> None:
        """Take (..., n) states of the layer into account; sources that need none ignore them."""


class Source(ABC):
    """Describes a source of evidence; `PointEvidence` gathers it for each of its layers."""

    @abstractmethod
    def gather(self, weight: RecurrentWeight) -> Gathered:
        """Start to gather evidence about the neurons of one hidden matrix, which stays the caller's.

        Raises:
            ValueError: if the source has nothing to say about that layer.
        """


def absolute_weights(weight: Float[Tensor, "gates n n"]) -> Float[Tensor, "n n"]:
    """Return a_jk = sum over gates of |w_jk| + |w_kj|: the evidence that Eq. 6 reads, as published.

    It says little about geometry: in trained nets excitation is near and inhibition is far, so |w| is large at both
    ends of the scale of distances (docs/learned.md).

    Args:
        weight: hidden blocks, one for each gate; entry [g, j, k] joins source k to target j.

    Raises:
        ValueError: if the weight is not (gates, n, n).
        TypeError: if it is not a floating-point tensor.

    Reference: Eq. 6 of https://arxiv.org/abs/2406.06290.

    >>> absolute_weights(torch.tensor([[[0.0, -2.0], [1.0, 0.0]]]))
    tensor([[0., 3.],
            [3., 0.]])
    """
    return _symmetric(_checked(weight).abs().sum(0))


def signed_weights(weight: Float[Tensor, "gates n n"]) -> Float[Tensor, "n n"]:
    """Return a_jk = sum over gates of w_jk + w_kj: excitation attracts, inhibition repels.

    Args:
        weight: hidden blocks, one for each gate.

    Raises:
        ValueError: if the weight is not (gates, n, n).
        TypeError: if it is not a floating-point tensor.

    >>> signed_weights(torch.tensor([[[0.0, -2.0], [1.0, 0.0]]]))
    tensor([[ 0., -1.],
            [-1.,  0.]])
    """
    return _symmetric(_checked(weight).sum(0))


def incoming_cosine(weight: Float[Tensor, "gates n n"]) -> Float[Tensor, "n n"]:
    """Return the cosine of the incoming weights of neurons j and k, over the sources and gates: rows of W.

    A neuron without incoming weights has cosine 0 with every other.

    Args:
        weight: hidden blocks, one for each gate.

    Raises:
        ValueError: if the weight is not (gates, n, n).
        TypeError: if it is not a floating-point tensor.

    >>> round(incoming_cosine(torch.tensor([[[0.0, 1.0], [1.0, 1.0]]]))[0, 1].item(), 4)
    0.7071
    """
    return cosines(_checked(weight).transpose(0, 1).flatten(1))


@dataclass(frozen=True)
class Coactivity(Source):
    """Describes running correlations of the neurons' activity as evidence; it learns by `PointEvidence.observe`.

    Args:
        forget: share of the states seen that each `observe` drops, in [0, 1): the states of a net in training change.

    Raises:
        ValueError: if the share is out of its range.

    >>> Coactivity(forget=0.1)
    Coactivity(forget=0.1)
    """

    forget: float = 0.05

    def __post_init__(self) -> None:
        check_share("forget", self.forget)

    def gather(self, weight: RecurrentWeight) -> Gathered:
        return _SeenTogether(weight, self.forget)


@dataclass(frozen=True)
class DecoderCosine(Source):
    """Describes the cosine of two neurons' columns in a linear decoder, centered over the outputs, as evidence.

    Neurons that drive the same outputs belong near each other.

    Args:
        decoder: reads the layer's neurons, weight (outputs, n).

    Raises:
        TypeError: if it is not an `nn.Linear`, or its weight is on the meta device.

    >>> DecoderCosine(nn.Linear(8, 3)).decoder.in_features
    8
    """

    decoder: nn.Linear

    def __post_init__(self) -> None:
        if not isinstance(self.decoder, nn.Linear):
            raise TypeError(f"decoder must be an nn.Linear, got {kind_of(self.decoder)}")
        check_tensor("decoder", self.decoder.weight)

    def gather(self, weight: RecurrentWeight) -> Gathered:
        if self.decoder.in_features != weight.neurons:
            raise ValueError(
                f"decoder must read the {weight.neurons} neurons of {weight.parameter}, got one that reads "
                f"{self.decoder.in_features}"
            )
        return _OfDecoder(self.decoder)


class Mixed(Source):
    """Describes the sum of several sources, each divided by the sum of its magnitudes and multiplied by its share.

    Args:
        sources: at least one, each a `Source` or a function of the hidden blocks.
        shares: a number > 0 for each source; all equal if None.

    Raises:
        ValueError: if there is no source, or the shares are of another number or not positive.
        TypeError: if something is neither a source nor a function.

    >>> Mixed([signed_weights, Coactivity()]).shares
    (0.5, 0.5)
    """

    def __init__(
        self, sources: "Sequence[Source | Callable[[Tensor], Tensor]]", shares: Sequence[float] | None = None
    ) -> None:
        self.sources = tuple(
            as_source(source, "sources") for source in check_items("sources", sources, "a list of sources")
        )
        if not self.sources:
            raise ValueError("sources must hold at least one source, got none")
        given = [1.0] * len(self.sources) if shares is None else check_items("shares", shares, "a list of numbers")
        if len(given) != len(self.sources) or not all(is_number(share) and 0 < share < math.inf for share in given):
            raise ValueError(f"shares must be {len(self.sources)} finite numbers > 0, one a source, got {shown(given)}")
        largest = max(map(float, given))
        relative = [float(share) / largest for share in given]
        self.shares = tuple(share / sum(relative) for share in relative)

    def gather(self, weight: RecurrentWeight) -> Gathered:
        return _Sum([source.gather(weight) for source in self.sources], self.shares)


class FromWeights(Source):
    """Describes a function of the hidden blocks (gates, n, n) as evidence.

    Args:
        function: returns (n, n), symmetric; unchecked.
    """

    def __init__(self, function: Callable[[Tensor], Tensor]) -> None:
        self.function = function

    def gather(self, weight: RecurrentWeight) -> Gathered:
        return _OfWeight(weight, self.function)


def as_source(
    source: "Source | Callable[[Tensor], Tensor] | Sequence[Source | Callable[[Tensor], Tensor]]", name: str = "source"
) -> Source:
    """Return a source as it is, wrap a function of the hidden blocks, and mix a sequence in equal shares.

    Args:
        source: what to convert.
        name: of the argument, for errors.

    Raises:
        TypeError: if it is none of these.
        ValueError: if the sequence is empty.
    """
    if isinstance(source, Source):
        return source
    if isinstance(source, list | tuple):
        if not source:
            raise ValueError(f"{name} must hold at least one source, got none")
        return as_source(source[0], name) if len(source) == 1 else Mixed([as_source(part, name) for part in source])
    if not callable(source) or isinstance(source, type | nn.Module) or not takes(source, None):
        raise TypeError(f"{name} must be a Source or a function of the hidden blocks, got {shown(source)}")
    return FromWeights(source)


def normalized(matrix: Tensor) -> Tensor:
    """Return a matrix without its diagonal, divided by the sum of its magnitudes; a matrix of zeros stays as it is."""
    apart = matrix - matrix.diagonal().diag()
    return apart / apart.abs().sum().clamp_min(torch.finfo(apart.dtype).tiny)


def cosines(rows: Tensor) -> Tensor:
    """Return the cosines (n, n) of n rows; a row of zeros has cosine 0 with every row, itself included."""
    lengths = torch.linalg.vector_norm(rows, dim=1, keepdim=True)
    units = rows / lengths.clamp_min(torch.finfo(rows.dtype).tiny)
    return units @ units.T


class _OfWeight(Gathered):
    def __init__(self, weight: RecurrentWeight, function: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self._weight, self._function = weight, function

    def matrix(self) -> Tensor:
        n = self._weight.neurons
        whole = self._weight.tensor.detach()
        blocks = whole.to(working_dtype(whole.dtype)).unflatten(0, (-1, n))
        found = self._function(blocks)
        if not isinstance(found, Tensor) or found.shape != (n, n):
            what = tuple(found.shape) if isinstance(found, Tensor) else type(found).__name__
            raise ValueError(f"source must return a matrix of shape ({n}, {n}), got {what}")
        return found.detach()


class _OfDecoder(Gathered):
    def __init__(self, decoder: nn.Linear) -> None:
        super().__init__()
        # Not a part of this module, and never a hidden copy of a decoder that no one trains.
        self._owner = Owner(decoder)

    def matrix(self) -> Tensor:
        decoder = self._owner.module
        assert isinstance(decoder, nn.Linear)
        columns = decoder.weight.detach().T
        # On a GPU a look would wait for the number: there NaN reaches the energy, which names it later.
        if columns.device.type == "cpu" and not bool(columns.isfinite().all()):
            raise ValueError("decoder must have finite weights, got NaN or infinity")
        columns = columns.to(working_dtype(columns.dtype))
        return cosines(columns - columns.mean(1, keepdim=True))


class _SeenTogether(Gathered):
    needs_states = True

    def __init__(self, weight: RecurrentWeight, forget: float) -> None:
        super().__init__()
        self._dtype = working_dtype(weight.tensor.dtype)
        self.seen = RunningCorrelations(weight.neurons, forget=forget).to(weight.tensor.device)
        # Known beside the buffer that counts, so that no GPU has to wait for the number.
        self._enough = False
        self.register_load_state_dict_post_hook(_count_again)

    def observe(self, states: Tensor) -> None:
        self.seen.observe(states)
        self._enough = self._enough or states.numel() >= 2 * self.seen.size

    def matrix(self) -> Tensor:
        self._enough = self._enough or float(self.seen.count) >= 2
        if not self._enough:
            raise RuntimeError(
                "co-activity must have seen at least two states before evidence() is called, got "
                f"{int(self.seen.count)}: call evidence.observe(states), or train inside evidence.observing()"
            )
        return self.seen.correlations(self._dtype)


def _count_again(module: nn.Module, _: object) -> None:
    assert isinstance(module, _SeenTogether)
    module._enough = False


class _Sum(Gathered):
    def __init__(self, parts: Sequence[Gathered], shares: Sequence[float]) -> None:
        super().__init__()
        self.parts, self._shares = nn.ModuleList(parts), tuple(shares)
        self.needs_states = any(part.needs_states for part in parts)

    def observe(self, states: Tensor) -> None:
        for part in self._gathered():
            part.observe(states)

    def matrix(self) -> Tensor:
        matrices = zip(self._shares, self._gathered(), strict=True)
        return torch.stack([share * normalized(part.matrix()) for share, part in matrices]).sum(0)

    def _gathered(self) -> list[Gathered]:
        return [part for part in self.parts if isinstance(part, Gathered)]


def _checked(weight: Tensor) -> Tensor:
    """Return hidden blocks; raise an error unless they are floating-point and (gates, n, n)."""
    check_tensor("weight", weight, ("gates", "n", "n"))
    if not weight.is_floating_point():
        raise TypeError(f"weight must be floating-point, got {weight.dtype}")
    if weight.shape[1] != weight.shape[2] or not weight.numel():
        raise ValueError(f"weight must have the shape (gates, n, n), got {tuple(weight.shape)}")
    return weight


def _symmetric(matrix: Tensor) -> Tensor:
    return matrix + matrix.T
