"""What a regularizer knows of its neurons' activity: correlations by layer, their pull on the points, and hooks."""

import functools
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from riemod._checks import check_positive, check_share
from riemod.coactivity.energy import WIDE, Laws, RunningCorrelations, energy_of_coordinates, scaled_laws
from riemod.regularization.embedding import NeuronEmbedding
from riemod.regularization.evidence import GatheredEvidence, Neurons, PointEvidence
from riemod.regularization.inhibitors import Inhibitor
from riemod.regularization.weights import RecurrentWeight, Target


@dataclass(frozen=True)
class Coactivity(PointEvidence):
    """What moves a regularizer's points besides or instead of Eq. 6: mean_jk [f(d_jk / scale) c_jk + r(d_jk / scale)].

    Args:
        inhibitor: f; a wide Gaussian if not given, which lets points pass each other on their way.
        scale: unit of length of f; `natural_scale` of the manifold if not given.
        strength: factor of the energy, > 0. Alone it matters little, for Adam divides by the gradient's size.
        alone: whether Eq. 6 then moves the weights alone; if not, it moves the points too.
        forget: share of the states seen that each `observe` drops, in [0, 1): a net that trains changes.
        repulsion: r, what a pair costs whatever its correlation; none if not given. `least_squares(sphere)` gives f, r
            and the scale that fit cosines to correlations.

    Raises:
        ValueError: if a number is out of its range.
        TypeError: if the inhibitor or the repulsion is none.

    >>> Coactivity(strength=2.0).alone
    True
    """

    inhibitor: Inhibitor = WIDE
    scale: float | None = None
    strength: float = 1.0
    alone: bool = True
    forget: float = 0.05
    repulsion: Inhibitor | None = None

    def __post_init__(self) -> None:
        if not isinstance(self.inhibitor, Inhibitor):
            raise TypeError(f"inhibitor must be an Inhibitor, got {type(self.inhibitor).__name__}")
        if not isinstance(self.repulsion, Inhibitor | None):
            raise TypeError(f"repulsion must be an Inhibitor or None, got {type(self.repulsion).__name__}")
        if self.scale is not None:
            check_positive("scale", self.scale)
        check_positive("strength", self.strength)
        check_share("forget", self.forget)

    def gather(self, layers: Sequence[tuple[RecurrentWeight, Neurons]]) -> "ObservedCoactivity":
        """Start to observe the correlations of some layers' neurons."""
        return ObservedCoactivity(self, layers)


class ObservedCoactivity(GatheredEvidence):
    """Running correlations of the layers' neurons, and the gradient that their co-activity gives to the points.

    Args:
        coactivity: the law.
        layers: each hidden matrix with the embeddings of its neurons, which stay the caller's.
    """

    def __init__(self, coactivity: Coactivity, layers: Sequence[tuple[RecurrentWeight, Neurons]]) -> None:
        super().__init__(alone=coactivity.alone)
        self.coactivity = coactivity
        # Lists and tuples: the embeddings and layers are not parts of this module.
        self._layers = [
            (target, [(own, part, _laws(own, coactivity)) for own, part in neurons]) for target, neurons in layers
        ]
        self.seen = nn.ModuleList(
            RunningCorrelations(target.neurons, forget=coactivity.forget).to(target.weight.device)
            for target, _ in layers
        )

    def observe(self, states: Tensor, layer: int) -> None:
        """Take up (..., n) states of one layer; see `ModuliRegularizer.observe`."""
        self._of(layer).observe(states)

    def pull(self) -> Tensor:
        """0, with the gradient in the points of strength * the energy, summed over the layers."""
        energies = []
        for layer, (_, neurons) in enumerate(self._layers):
            correlations = self._of(layer).correlations(neurons[0][0].points.dtype)
            energies += [
                energy_of_coordinates(own.coordinates(), correlations[part, part], own.manifold, laws)
                for own, part, laws in neurons
            ]
        energy = self.coactivity.strength * torch.stack(energies).sum()
        return energy - energy.detach()

    @contextmanager
    def observing(self, every: int = 1) -> Iterator[None]:
        """Inside, every `every`-th forward pass that a layer makes in training mode is observed, the first included.

        Raises:
            ValueError: if a layer's output does not show the states of its neurons.
        """
        passes = [0] * len(self._layers)

        def take(layer: int, states: Tensor) -> None:
            if self._layers[layer][0].module.training:
                if passes[layer] % every == 0:
                    self.observe(states, layer)
                passes[layer] += 1

        with ExitStack() as hooks:
            for layer, (target, _) in enumerate(self._layers):
                hooks.enter_context(watching(target, functools.partial(take, layer)))
            yield

    def _of(self, layer: int) -> RunningCorrelations:
        if isinstance(layer, bool) or not isinstance(layer, int) or not 0 <= layer < len(self.seen):
            raise ValueError(f"layer must be an integer in 0 .. {len(self.seen) - 1}, got {layer!r}")
        seen = self.seen[layer]
        assert isinstance(seen, RunningCorrelations)
        return seen


@contextmanager
def watching(target: Target, callback: Callable[[Tensor], None]) -> Iterator[None]:
    """Inside, every forward pass of a recurrent layer hands its hidden states (..., n) to the callback, without graph.

    Args:
        target: a hidden matrix of a layer or cell of torch.nn.
        callback: what to do with them.

    Raises:
        ValueError: if the layer does not put out the states of these neurons.
    """
    module, neurons = target.module, target.neurons
    if not isinstance(module, nn.RNNBase | nn.RNNCellBase):
        raise ValueError(f"layer must be one of torch.nn, whose output is its states, got {type(module).__name__}")
    back = target.parameter.endswith("_reverse")
    if isinstance(module, nn.RNNBase) and not target.parameter.removesuffix("_reverse").endswith(
        f"_l{module.num_layers - 1}"
    ):
        raise ValueError(
            f"layer must be the last of its module for its states to be seen, got {target.parameter} of "
            f"{module.num_layers} layers: use one module a layer"
        )

    def hook(module: nn.Module, inputs: Any, output: Any) -> None:
        states = output[0] if isinstance(output, tuple) else output
        if isinstance(states, nn.utils.rnn.PackedSequence):
            states = states.data
        callback(states.detach()[..., neurons * back : neurons * (back + 1)])

    handle = module.register_forward_hook(hook)
    try:
        yield
    finally:
        handle.remove()


def _laws(embedding: NeuronEmbedding, coactivity: Coactivity) -> Laws:
    return scaled_laws(embedding.manifold, coactivity.inhibitor, coactivity.scale, coactivity.repulsion)
