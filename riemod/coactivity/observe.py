"""Co-activity as evidence while a net trains: correlations by layer, the points' gradient, and hooks on layers."""

import functools
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from riemod._checks import check_boolean, check_choice, check_integer, check_positive, check_share
from riemod.coactivity.correlations import RunningCorrelations
from riemod.coactivity.energy import WIDE, CoactivityLaw, check_law, energy_of_coordinates
from riemod.regularization.evidence import GatheredEvidence, PointEvidence
from riemod.regularization.neurons import Neurons
from riemod.regularization.penalized import RecurrentWeight


@dataclass(frozen=True)
class Coactivity(PointEvidence):
    """Describes co-activity as evidence for points: mean_jk [f(d_jk / scale) c_jk + r(d_jk / scale)], c correlations.

    Args:
        law: f, r and their scale.
        strength: factor of the energy, > 0. Without the penalty it matters little, for Adam divides by the gradient's
            size.
        with_penalty: whether Eq. 6 moves the points too; if not, it moves the weights only.
        forget: share of the states seen that each `observe` drops, in [0, 1), for the states of a net that trains
            change.

    Raises:
        ValueError: if a number is out of its range.
        TypeError: if the law is no `CoactivityLaw`.

    >>> Coactivity(strength=2.0).with_penalty
    False
    """

    law: CoactivityLaw = WIDE
    strength: float = 1.0
    with_penalty: bool = False
    forget: float = 0.05

    def __post_init__(self) -> None:
        check_law(self.law)
        check_positive("strength", self.strength)
        check_share("forget", self.forget)
        check_boolean("with_penalty", self.with_penalty)

    def gather(self, layers: Sequence[tuple[RecurrentWeight, Neurons]]) -> "ObservedCoactivity":
        return ObservedCoactivity(self, layers)


class ObservedCoactivity(GatheredEvidence):
    """Holds running correlations of some layers' neurons, and draws the points by their co-activity.

    Args:
        coactivity: the law, its strength, and how fast the past is forgotten.
        layers: each hidden matrix with the embeddings of its neurons, which stay the caller's.
    """

    def __init__(self, coactivity: Coactivity, layers: Sequence[tuple[RecurrentWeight, Neurons]]) -> None:
        super().__init__(with_penalty=coactivity.with_penalty)
        self.coactivity = coactivity
        # Lists and tuples: the embeddings and layers are not parts of this module.
        self._layers = [
            (weight, [(own, part, coactivity.law.on(own.manifold)) for own, part in neurons])
            for weight, neurons in layers
        ]
        self.seen = nn.ModuleList(
            RunningCorrelations(weight.neurons, forget=coactivity.forget).to(weight.tensor.device)
            for weight, _ in layers
        )

    def observe(self, states: Tensor, layer: int) -> None:
        """Take (..., n) states of one layer into account; see `ModuliRegularizer.observe`."""
        self._of(layer).observe(states)

    def pull(self) -> Tensor:
        """Return 0, with the gradient of strength * the energy in the points, summed over the layers."""
        energies = []
        for layer, (_, neurons) in enumerate(self._layers):
            correlations = self._of(layer).correlations(neurons[0][0].points.dtype)
            energies += [
                energy_of_coordinates(own.coordinates(), correlations[part, part], own.manifold, law)
                for own, part, law in neurons
            ]
        energy = self.coactivity.strength * torch.stack(energies).sum()
        return energy - energy.detach()

    @contextmanager
    def observing(self, every: int = 1) -> Iterator[None]:
        """Observe, inside the context, every `every`-th forward pass of a layer in training mode, the first included.

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
            for layer, (weight, _) in enumerate(self._layers):
                hooks.enter_context(watching(weight, functools.partial(take, layer)))
            yield

    def _of(self, layer: int) -> RunningCorrelations:
        seen = self.seen[check_integer("layer", layer, least=0, most=len(self.seen) - 1)]
        assert isinstance(seen, RunningCorrelations)
        return seen


@contextmanager
def watching(weight: RecurrentWeight, callback: Callable[[Tensor], None]) -> Iterator[None]:
    """Hand the hidden states (..., n) of a layer's forward passes inside the context to a callback, without graph.

    Args:
        weight: a hidden matrix of a layer or cell of torch.nn.
        callback: takes the states.

    Raises:
        ValueError: if the output of the layer does not show the states of these neurons.
    """
    module, neurons = weight.module, weight.neurons
    if not isinstance(module, nn.RNNBase | nn.RNNCellBase):
        raise ValueError(f"layer must be one of torch.nn, whose output is its states, got {type(module).__name__}")
    back = weight.parameter.endswith("_reverse")
    if isinstance(module, nn.RNNBase) and not weight.parameter.removesuffix("_reverse").endswith(
        f"_l{module.num_layers - 1}"
    ):
        raise ValueError(
            f"layer must be the last of its module for its states to be seen, got {weight.parameter} of "
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


EVIDENCE: dict[str, Callable[[float], PointEvidence | None]] = {
    "weights": lambda strength: None,
    "coactivity": lambda strength: Coactivity(),
    "both": lambda strength: Coactivity(strength=strength, with_penalty=True),
}
"""What learned points of a run follow, by name, made for the strength of its penalty; None: its weights, by Eq. 6."""


def evidence_by_name(name: str, strength: float) -> PointEvidence | None:
    """Make the evidence of that name for `ModuliRegularizer(evidence=...)`.

    Args:
        name: "weights", "coactivity" or "both".
        strength: of the penalty, which co-activity beside it shares.

    Raises:
        ValueError: for an unknown name.

    >>> evidence_by_name("both", 2.0).strength
    2.0
    """
    return EVIDENCE[check_choice("evidence", name, EVIDENCE)](strength)
