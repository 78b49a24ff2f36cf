"""Learned points that follow evidence: an object of its own beside the regularizer, which adds a gradient to points."""

import functools
import logging
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any, final

import torch
from torch import Tensor, nn

from riemod._checks import check_integer, check_positive, check_setting, kind_of
from riemod._torch import outside_graphs
from riemod.coactivity.states import watching
from riemod.evidence.law import EvidenceLaw, PointLaw
from riemod.evidence.sources import Gathered, Source, as_source
from riemod.regularization import ModuliRegularizer
from riemod.regularization.penalized import Owner, RecurrentWeight
from riemod.regularization.penalty import nan_unless

_logger = logging.getLogger(__name__)
# Of the calls with a gradient: on a GPU the numbers of so many are looked at once.
_LOOK_EVERY = 100

_REBUILD = "build a new PointEvidence on the same regularizer"
_FIXED: dict[str, str] = dict.fromkeys(("law", "gathered", "moduli"), _REBUILD)
_SETTINGS = {"strength": check_positive}


@final
class PointEvidence(nn.Module):
    """Moves the learned points of a regularizer by evidence, in place of Eq. 6: `loss = task + moduli() + evidence()`.

    Calling it returns a scalar 0 whose gradient in the points is that of strength * the law's energy, summed over the
    layers; weights get none. From its construction on, the penalty itself gives the points no gradient. The points and
    a learned curvature stay the regularizer's: hand model and regularizer to `riemod.optim.riemannian_adam`, as
    before. What was observed and the number of calls are in the `state_dict`. `strength` and `every` may be set at any
    time; setting another attribute that is read at construction alone is an error that says what to do.

    Args:
        moduli: has learned points and penalizes recurrent weights alone. Its strength may be 0: the points are then a
            read-out that leaves the net as it is.
        source: what the points follow: a function of the hidden blocks, such as `riemod.evidence.incoming_cosine`, a
            `Source`, such as `riemod.Coactivity()`, or a list of them, mixed in equal shares.
        law: reads the evidence.
        strength: factor of the energy, > 0. Under Adam alone it has no effect, for Adam divides by the gradient's size.
        every: k >= 1: only every k-th differentiable call has a gradient; in between the points stay.

    Raises:
        ValueError: if the regularizer learns no points or holds a weight that is not recurrent, a number is out of its
            range, or a source has nothing to say about a layer.
        TypeError: if an argument is of another type.

    >>> from riemod.manifolds import Torus
    >>> from riemod.evidence import signed_weights
    >>> rnn = nn.RNN(2, 16)
    >>> moduli = ModuliRegularizer(rnn, Torus(2), learn=True)
    >>> evidence = PointEvidence(moduli, signed_weights)
    >>> (moduli() + evidence()).backward()
    >>> bool(moduli.points.grad.any())
    True
    """

    calls: Tensor

    def __init__(
        self,
        moduli: ModuliRegularizer,
        source: Source | Callable[[Tensor], Tensor] | Sequence[Source | Callable[[Tensor], Tensor]],
        *,
        law: PointLaw | None = None,
        strength: float = 1.0,
        every: int = 5,
    ) -> None:
        super().__init__()
        weights = _recurrent_weights(moduli)
        self.law = EvidenceLaw() if law is None else law
        if not isinstance(self.law, PointLaw) or isinstance(self.law, type):
            raise TypeError(f"law must be an EvidenceLaw or a CoactivityLaw, got {kind_of(self.law)}")
        self.strength = strength
        check_integer("every", every, least=1)
        source = as_source(source)
        self.gathered = nn.ModuleList(source.gather(weight) for weight in weights)
        self._laws = [
            [self.law.on(embedding.manifold) for embedding in moduli.layer_embeddings(layer)]
            for layer in range(len(weights))
        ]
        # Not a part of this module: the points are the regularizer's, and an optimizer takes them from there.
        self._owner = Owner(moduli)
        self._warned = self._told = False
        self.register_buffer("calls", torch.zeros((), dtype=torch.int64))
        self._calls: int | None = 0
        self.register_load_state_dict_post_hook(_forget_calls)
        self.every = every

    def __setattr__(self, name: str, value: Any) -> None:
        super().__setattr__(name, check_setting(self, name, value, _FIXED, _SETTINGS))

    @property
    def every(self) -> int:
        """Return k: only every k-th differentiable call has a gradient."""
        return self._every

    @every.setter
    def every(self, every: int) -> None:
        self._every = check_integer("every", every, least=1)
        self.moduli.release_points(self._every)

    @property
    def moduli(self) -> ModuliRegularizer:
        """Return the regularizer whose points it moves."""
        moduli = self._owner.module
        assert isinstance(moduli, ModuliRegularizer)
        return moduli

    @property
    def needs_states(self) -> bool:
        """Return whether `observe` must be called, or `observing` entered, before the first call."""
        return any(self._of(layer).needs_states for layer in range(len(self.gathered)))

    @outside_graphs
    def forward(self) -> Tensor:
        """Return 0, with the gradient of strength * the energy in the points in every k-th differentiable call.

        Raises:
            RuntimeError: if a source has not observed states yet.
            ValueError: if the evidence holds NaN or infinity (on a GPU the result is NaN, and the error comes later) or
                points are on another device than their weights.

        Warns:
            UserWarning: once, if the regularizer's points are frozen.

        Logs, once, how many neurons have no evidence (silent ones); `silent` says which.
        """
        moduli = self.moduli
        zero = moduli.weights[0].tensor.new_zeros(())
        if not torch.is_grad_enabled():
            return zero
        if not moduli.learn:
            if not self._warned:
                self._warned = True
                warnings.warn("points of the regularizer are frozen: evidence() has no effect any more", stacklevel=4)
            return zero
        if self._calls is None:
            self._calls = int(self.calls)
        due = self._calls % self.every == 0
        # The number is in the buffer to be saved, and beside it to be read without waiting for a GPU.
        self._calls += 1
        self.calls.fill_(self._calls)
        if not due:
            return zero
        with torch.autocast(zero.device.type, enabled=False):
            energy = self.strength * torch.stack([self._energy(layer) for layer in range(len(self.gathered))]).sum()
        return (energy - energy.detach()).to(zero.dtype)

    def observe(self, states: Tensor, layer: int = 0) -> None:
        """Take the activity of a layer's neurons into account, for sources that learn of states.

        Args:
            states: (..., n) hidden states, every row one observation; no gradient goes back to them.
            layer: which of the regularizer's `weights`.

        Raises:
            ValueError: if no source learns of states, there is no such layer, or the states do not fit or hold NaN or
                infinity.
            TypeError: if they are not a floating-point tensor.
        """
        gathered = self._of(layer)
        if not gathered.needs_states:
            raise ValueError("observe needs a source that learns of states, such as Coactivity(), got none")
        gathered.observe(states)

    @contextmanager
    def observing(self, every: int = 1) -> Iterator[None]:
        """Observe, inside the context, every `every`-th forward pass of a layer in training mode, the first included.

        Where no source learns of states, the context does nothing.

        Raises:
            ValueError: if a layer's output does not show the states of its neurons, or `every` is not an integer >= 1.
        """
        every = check_integer("every", every, least=1)
        weights = _recurrent_weights(self.moduli)
        passes = [0] * len(weights)

        def take(layer: int, states: Tensor) -> None:
            if weights[layer].module.training:
                if passes[layer] % every == 0:
                    self.observe(states, layer)
                passes[layer] += 1

        with ExitStack() as hooks:
            for layer, weight in enumerate(weights):
                if self._of(layer).needs_states:
                    hooks.enter_context(watching(weight, functools.partial(take, layer)))
            yield

    @torch.no_grad()
    def matrix(self, layer: int = 0) -> Tensor:
        """Return the evidence (n, n) about a layer's neurons as it stands."""
        return self._of(layer).matrix()

    @torch.no_grad()
    def silent(self, layer: int = 0) -> Tensor:
        """Return (n,), whether a neuron has no evidence at all: its points follow the uniformity term alone."""
        return _without_evidence(self.matrix(layer))

    def extra_repr(self) -> str:
        return f"every={self.every}, strength={self.strength:g}"

    def _energy(self, layer: int) -> Tensor:
        evidence = self._of(layer).matrix()
        finite = torch.isfinite(evidence).all()
        # A look at the numbers makes a GPU wait: there it is rare, and what is not finite makes the energy NaN.
        due = (self._calls or 0) // self.every
        if evidence.device.type == "cpu" or due % _LOOK_EVERY == _LOOK_EVERY - 1:
            self._look(evidence, finite, self.moduli.weights[layer].parameter)
        parts, start = [], 0
        for embedding, law in zip(self.moduli.layer_embeddings(layer), self._laws[layer], strict=True):
            part = slice(start, start + embedding.size)
            start += embedding.size
            if embedding.points.device != evidence.device:
                raise ValueError(
                    f"moduli must have its points on the device of its weights, {evidence.device}, got "
                    f"{embedding.points.device}: move the regularizer with the model"
                )
            own = evidence[part, part].to(embedding.points.dtype).contiguous()
            parts.append(law.energy(embedding.coordinates(), own, embedding.manifold))
        return nan_unless(finite, torch.stack(parts).sum())

    def _look(self, evidence: Tensor, finite: Tensor, parameter: str) -> None:
        if not bool(finite):
            raise ValueError(f"evidence about {parameter} must be finite, got NaN or infinity")
        silent = 0 if self._told else int(_without_evidence(evidence).sum())
        if silent:
            self._told = True
            _logger.warning(
                "%d of %d neurons of %s have no evidence about where they belong (silent units or rows of zeros): only "
                "the law's uniformity moves their points",
                silent,
                len(evidence),
                parameter,
            )

    def _of(self, layer: int) -> Gathered:
        found = self.gathered[check_integer("layer", layer, least=0, most=len(self.gathered) - 1)]
        assert isinstance(found, Gathered)
        return found


def _without_evidence(evidence: Tensor) -> Tensor:
    return ~(evidence - evidence.diagonal().diag()).any(1)


def _recurrent_weights(moduli: ModuliRegularizer) -> list[RecurrentWeight]:
    if not isinstance(moduli, ModuliRegularizer):
        raise TypeError(f"moduli must be a ModuliRegularizer, got {kind_of(moduli)}")
    if not moduli.learn:
        raise ValueError("moduli must have points to learn, got learn=False")
    weights = [weight for weight in moduli.weights if isinstance(weight, RecurrentWeight)]
    if len(weights) != len(moduli.weights):
        raise ValueError("moduli must hold recurrent weights alone, whose two sides are one layer, got others too")
    return weights


def _forget_calls(module: nn.Module, _: Any) -> None:
    assert isinstance(module, PointEvidence)
    module._calls = None
