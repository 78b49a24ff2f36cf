"""Points of neurons from their co-activity, after training: descent from several random starts, the best one kept."""

from collections.abc import Callable, Iterable, Sequence

import torch
from jaxtyping import Float
from torch import Tensor, nn

from riemod._checks import check_positive
from riemod.coactivity.energy import WIDE, Laws, RunningCorrelations, energy_of_coordinates, natural_scale, scaled_laws
from riemod.coactivity.observe import watching
from riemod.manifolds._geoopt import geoopt
from riemod.manifolds.base import Manifold
from riemod.regularization.embedding import NeuronEmbedding
from riemod.regularization.inhibitors import Inhibitor
from riemod.regularization.weights import recurrent_weights

# Of the second stage, in units of the last one's.
_WIDER = 1.4


def fit_positions(
    model: nn.Module,
    batches: Iterable[Tensor | Sequence[Tensor]],
    manifold: Manifold,
    *,
    layer: int = 0,
    inhibitor: Inhibitor | Callable[[Tensor], Tensor] | None = None,
    scale: float | None = None,
    repulsion: Inhibitor | Callable[[Tensor], Tensor] | None = None,
    restarts: int = 8,
    steps: int = 300,
    learning_rate: float | None = None,
    generator: torch.Generator | None = None,
) -> NeuronEmbedding:
    """Points that minimize mean_jk [f(d_jk / scale) c_jk + r(d_jk / scale)], c the correlations of hidden states.

    The states are those of all batches, every step of every sequence. The model runs in the mode that it is in, without
    gradients, and is left as it is.

    Args:
        model: holds layers or cells of torch.nn.
        batches: what the model is called with: a tensor, or a sequence of arguments.
        manifold: where the points shall be.
        layer: which of the model's recurrent weights, counted from 0 in module order.
        inhibitor: f; `DifferenceOfGaussians()` if not given.
        scale: the length that f and r take for 1, > 0; `natural_scale(manifold)` if not given.
        repulsion: r; none if not given.
        restarts: random starts, >= 1.
        steps: of Riemannian Adam for each start, >= 1.
        learning_rate: length of the first step; it falls linearly to 0. 40 `natural_scale(manifold)` / steps if not
            given, so that a point can go a few times around.
        generator: draws the starts.

    Returns:
        The embedding of least energy, its points fixed.

    Raises:
        ValueError: if an argument is out of its range, the model has no such layer, the layer does not put out its
            states, or the batches hold fewer than two states, or NaN or infinity.

    >>> from riemod.manifolds import Sphere
    >>> seed = torch.Generator().manual_seed(0)
    >>> net, batch = nn.RNN(2, 16), torch.randn(10, 8, 2, generator=seed)
    >>> fit_positions(net, [batch], Sphere(1), restarts=1, steps=10, generator=seed).points.shape
    torch.Size([16, 2])
    """
    targets = recurrent_weights(model)
    if isinstance(layer, bool) or not isinstance(layer, int) or not 0 <= layer < len(targets):
        raise ValueError(f"layer must be an integer in 0 .. {len(targets) - 1}, got {layer!r}")
    target = targets[layer]
    seen = RunningCorrelations(target.neurons).to(target.weight.device)
    with torch.no_grad(), watching(target, seen.observe):
        for batch in batches:
            model(batch) if isinstance(batch, Tensor) else model(*batch)
    if not float(seen.count) >= 2:
        raise ValueError(f"batches must hold at least two states, got {int(seen.count)}")
    return fit_to_correlations(
        seen.correlations(target.weight.dtype),
        manifold,
        inhibitor=inhibitor,
        scale=scale,
        repulsion=repulsion,
        restarts=restarts,
        steps=steps,
        learning_rate=learning_rate,
        generator=generator,
    )


def fit_to_correlations(
    correlations: Float[Tensor, "n n"],
    manifold: Manifold,
    *,
    inhibitor: Inhibitor | Callable[[Tensor], Tensor] | None = None,
    scale: float | None = None,
    repulsion: Inhibitor | Callable[[Tensor], Tensor] | None = None,
    restarts: int = 8,
    steps: int = 300,
    learning_rate: float | None = None,
    generator: torch.Generator | None = None,
) -> NeuronEmbedding:
    """Points that minimize mean_jk [f(d_jk / scale) c_jk + r(d_jk / scale)] for given c: `fit_positions` without a net.

    Riemannian Adam descends in three stages of equal length: a wide Gaussian in place of f, so that points can pass
    each other; f at 1.4 times the scale; f. With a repulsion it descends in the energy itself from the start. Of the
    starts the one of least energy is kept.

    Args:
        correlations: (n, n), symmetric.
        manifold: where the points shall be; its own parameters, such as a learned curvature, are not moved.
        inhibitor: f; `DifferenceOfGaussians()` if not given.
        scale: the length that f and r take for 1, > 0; `natural_scale(manifold)` if not given.
        repulsion: r; none if not given.
        restarts: random starts, >= 1.
        steps: of Riemannian Adam for each start, >= 1.
        learning_rate: length of the first step; it falls linearly to 0. 40 `natural_scale(manifold)` / steps if not
            given, so that a point can go a few times around.
        generator: draws the starts.

    Returns:
        The embedding of least energy, its points fixed, in the dtype and on the device of the correlations.

    Raises:
        ValueError: if the correlations are not a finite, symmetric square matrix, or a number is out of its range.
        TypeError: if they are not a dense floating-point tensor.

    >>> from riemod.manifolds import Sphere
    >>> angle = torch.arange(8) * (torch.pi / 4)
    >>> tuned = torch.cos(angle - angle.unsqueeze(1))
    >>> circle = fit_to_correlations(tuned, Sphere(1), restarts=1, generator=torch.Generator().manual_seed(0))
    >>> bool((circle.distances()[0].argsort()[1:3] % 6 == 1).all())
    True
    """
    for name, number in (("restarts", restarts), ("steps", steps)):
        if isinstance(number, bool) or not isinstance(number, int) or number < 1:
            raise ValueError(f"{name} must be an integer >= 1, got {number!r}")
    _check_correlations(correlations)
    scale = natural_scale(manifold) if scale is None else check_positive("scale", scale)
    rate = (
        40 * natural_scale(manifold) / steps
        if learning_rate is None
        else check_positive("learning_rate", learning_rate)
    )
    stages = [scaled_laws(manifold, inhibitor, scale, repulsion)]
    if repulsion is None:
        wide = ((WIDE, scale), (inhibitor, _WIDER * scale))
        stages = [*(scaled_laws(manifold, law, length) for law, length in wide), *stages]
    fits = [_descend(correlations, manifold, stages, steps, rate, generator) for _ in range(restarts)]
    best, _ = min(fits, key=lambda fit: fit[1])
    return NeuronEmbedding(manifold, len(best), learn=False, points=best)


def _descend(
    correlations: Tensor,
    manifold: Manifold,
    stages: Sequence[Laws],
    steps: int,
    rate: float,
    generator: torch.Generator | None,
) -> tuple[Tensor, float]:
    """Points from one random start, and their energy in the last stage."""
    n, dtype, device = len(correlations), correlations.dtype, correlations.device
    points = manifold.parameter(manifold.sample(n, generator=generator, dtype=dtype, device=device))
    optimizer = geoopt.optim.RiemannianAdam([points], lr=rate)
    for step in range(steps):
        optimizer.param_groups[0]["lr"] = rate * (1 - step / steps)
        laws = stages[step * len(stages) // steps]
        optimizer.zero_grad()
        energy_of_coordinates(manifold.coordinates(points), correlations, manifold, laws).backward(inputs=[points])
        optimizer.step()
    with torch.no_grad():
        energy = energy_of_coordinates(manifold.coordinates(points), correlations, manifold, stages[-1])
    return points.detach(), energy.item()


def _check_correlations(correlations: Tensor) -> None:
    if not isinstance(correlations, Tensor):
        raise TypeError(f"correlations must be a tensor, got {type(correlations).__name__}")
    if not correlations.is_floating_point() or correlations.layout != torch.strided:
        raise TypeError(f"correlations must be dense and floating-point, got {correlations.dtype}")
    if correlations.ndim != 2 or correlations.shape[0] != correlations.shape[1] or not len(correlations):
        raise ValueError(f"correlations must be a square matrix, got shape {tuple(correlations.shape)}")
    if not bool(torch.isfinite(correlations).all()):
        raise ValueError("correlations must be finite, got NaN or infinity")
    apart = (correlations - correlations.T).abs().max().item()
    if apart > 1e-4:
        raise ValueError(f"correlations must be symmetric, got entries that differ from their mirror's by {apart:.3g}")
