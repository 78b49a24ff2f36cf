"""What a penalized weight is: one parameter, or a part of it, with the numbers of neurons that it joins.

Orientation: entry [j, k] of a weight joins source k to target j, as in torch, so that a weight (n, m) has n targets and
m sources. A weight is *recurrent* if these are the same neurons, and has two sets of points if not.
"""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn


class Owner:
    """Refers to the module that owns a penalized parameter, across copies.

    A deep copy of model and regularizer together, in any order, refers to the copied module. A copy of the regularizer
    alone refers to the original module: it never penalizes a hidden copy of a layer that no one trains.

    Args:
        module: the module.
    """

    def __init__(self, module: nn.Module) -> None:
        self._module = module
        self._copies: dict[int, Any] | None = None

    @property
    def module(self) -> nn.Module:
        """Return the module."""
        if self._copies is not None:
            # By now the whole copy is made, whichever part of it came first.
            self._module = self._copies.get(id(self._module), self._module)
            self._copies = None
        return self._module

    def __deepcopy__(self, memo: dict[int, Any]) -> "Owner":
        copied = Owner(self.module)
        copied._copies = memo
        memo[id(self)] = copied
        return copied

    def __getstate__(self) -> dict[str, Any]:
        return {"_module": self.module, "_copies": None}


@dataclass(frozen=True)
class RecurrentWeight:
    """Names one recurrent parameter, (gates * n, n), whose gates share the points of the layer's n neurons.

    Args:
        owner: refers to the layer that owns the parameter.
        parameter: its name there, such as "weight_hh_l0".
        neurons: n.
        gates: 1 for a plain RNN, 3 for a GRU, 4 for an LSTM.
        columns: (first, last) of the parameter's columns that are the hidden matrix; all of them if None.
    """

    owner: Owner
    parameter: str
    neurons: int
    gates: int
    columns: tuple[int, int] | None = None

    @property
    def module(self) -> nn.Module:
        """Return the layer that owns the parameter."""
        return self.owner.module

    @property
    def whole(self) -> Tensor:
        """Return the parameter as it is now."""
        return getattr(self.module, self.parameter)

    @property
    def tensor(self) -> Tensor:
        """Return the hidden matrix as it is now, (gates * n, n): the parameter, or a view of some of its columns."""
        return self.whole if self.columns is None else self.whole[:, slice(*self.columns)]

    @property
    def sources(self) -> int:
        """Return the number of its columns: n again."""
        return self.neurons

    def blocks(self) -> tuple[Tensor, ...]:
        """Return the n x n hidden block of each gate."""
        return _gates(self.tensor, self.neurons)


@dataclass(frozen=True)
class PairedWeight:
    """Names one parameter (gates * n, m) or (n, m, *kernel) that joins m source neurons to n other ones, its targets.

    Args:
        owner: refers to the layer that owns the parameter.
        parameter: its name there.
        neurons: n.
        sources: m.
        gates: how many blocks of n rows share the targets' points.
    """

    owner: Owner
    parameter: str
    neurons: int
    sources: int
    gates: int = 1

    @property
    def module(self) -> nn.Module:
        """Return the layer that owns the parameter."""
        return self.owner.module

    @property
    def tensor(self) -> Tensor:
        """Return the parameter as it is now."""
        return getattr(self.module, self.parameter)

    @property
    def whole(self) -> Tensor:
        """Return the parameter as it is now: a paired weight has no parts."""
        return self.tensor

    def blocks(self) -> tuple[Tensor, ...]:
        """Return the n x m matrix of each gate; for a kernel, the Euclidean norms of its slices w[j, k] (App. I.2)."""
        weight = self.tensor
        if weight.ndim > 2:
            weight = torch.linalg.vector_norm(weight, dim=tuple(range(2, weight.ndim)))
        return _gates(weight, self.neurons)


Weight = RecurrentWeight | PairedWeight


@dataclass(frozen=True)
class Chain:
    """Names layers in a row that share the points of the neurons in between. See `chain`."""

    weights: tuple[PairedWeight, ...]


def _gates(weight: Tensor, neurons: int) -> tuple[Tensor, ...]:
    # A split of one part would copy the gradient on its way back.
    return (weight,) if len(weight) == neurons else weight.split(neurons)
