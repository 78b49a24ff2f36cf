"""Fits points to co-activity after training: descent from several random starts, of which the best is kept."""

from collections.abc import Iterable, Iterator, Sequence

import torch
from jaxtyping import Float
from torch import Tensor, nn

from riemod._arrays import check_tensor
from riemod._checks import check_generator, check_integer, check_positive, check_repeats, check_type, kind_of, shown
from riemod.coactivity.correlations import RunningCorrelations
from riemod.coactivity.energy import RING, WIDE, CoactivityLaw, check_law, energy_of_coordinates, natural_scale
from riemod.coactivity.states import watching
from riemod.manifolds._geoopt import geoopt
from riemod.manifolds.base import Manifold
from riemod.regularization.embedding import NeuronEmbedding, working_dtype
from riemod.regularization.weights import recurrent_weights

# Of the second stage, in units of the last one's.
_WIDER = 1.4


def fit_positions(
    model: nn.Module,
    batches: Iterable[Tensor | Sequence[Tensor]],
    manifold: Manifold,
    *,
    layer: int = 0,
    law: CoactivityLaw = RING,
    restarts: int = 8,
    steps: int = 300,
    learning_rate: float | None = None,
    generator: torch.Generator | None = None,
) -> NeuronEmbedding:
    """Fit points to the co-activity of a model's hidden units: `fit_to_correlations` of its hidden states.

    The states are those of every step of every sequence of all batches. The model runs in the mode that it is in,
    without gradients, and is left as it is.

    Args:
        model: holds layers or cells of torch.nn.
        batches: what the model is called with: a tensor, or a sequence of arguments.
        manifold: where the points shall be.
        layer: which of the model's recurrent weights, counted from 0 in module order.
        law: f, r and their scale.
        restarts: random starts, >= 1.
        steps: of Riemannian Adam for each start, >= 1.
        learning_rate: length of the first step, as in `fit_to_correlations`.
        generator: draws the starts.

    Returns:
        The embedding of least energy, its points fixed.

    Raises:
        ValueError: if an argument is out of its range, the model has no such layer, the layer's output does not show
            its states, or the batches hold fewer than two states, or NaN or infinity.

    >>> from riemod.manifolds import Sphere
    >>> seed = torch.Generator().manual_seed(0)
    >>> net, batch = nn.RNN(2, 16), torch.randn(10, 8, 2, generator=seed)
    >>> fit_positions(net, [batch], Sphere(1), restarts=1, steps=10, generator=seed).points.shape
    torch.Size([16, 2])
    """
    check_type("manifold", manifold, Manifold, "a Manifold")
    check_law(law)
    weights = recurrent_weights(model, "model")
    weight = weights[check_integer("layer", layer, least=0, most=len(weights) - 1)]
    seen = RunningCorrelations(weight.neurons).to(weight.tensor.device)
    with torch.no_grad(), watching(weight, seen.observe):
        for batch in _checked(batches):
            try:
                model(batch) if isinstance(batch, Tensor) else model(*batch)
            except ValueError as error:
                raise ValueError(f"model must give finite states on batches: {error}") from error
            except (RuntimeError, TypeError, IndexError) as error:
                raise ValueError(
                    f"batches must hold what the model is called with, got {shown(batch)}: the call ends with {error}"
                ) from error
    if not float(seen.count) >= 2:
        raise ValueError(f"batches must hold at least two states, got {int(seen.count)}")
    return fit_to_correlations(
        seen.correlations(working_dtype(weight.tensor.dtype)),
        manifold,
        law=law,
        restarts=restarts,
        steps=steps,
        learning_rate=learning_rate,
        generator=generator,
    )


def fit_to_correlations(
    correlations: Float[Tensor, "n n"],
    manifold: Manifold,
    *,
    law: CoactivityLaw = RING,
    restarts: int = 8,
    steps: int = 300,
    learning_rate: float | None = None,
    generator: torch.Generator | None = None,
) -> NeuronEmbedding:
    """Find points that minimize mean_jk [f(d_jk / scale) c_jk + r(d_jk / scale)] for given correlations c.

    Riemannian Adam descends in three stages of equal length: in the law `WIDE`, so that points can cross each other; in
    the law itself at 1.4 times its scale; in the law itself. A law with a repulsion is descended in from the start. Of
    the random starts the one that ends with the least energy is kept.

    Args:
        correlations: (n, n), symmetric.
        manifold: where the points shall be; its own parameters, such as a learned curvature, are not moved.
        law: f, r and their scale.
        restarts: random starts, >= 1.
        steps: of Riemannian Adam for each start, >= 1.
        learning_rate: length of the first step, > 0; it falls linearly to 0. 40 `natural_scale(manifold)` / steps if
            None, so that a point can go a few times around.
        generator: draws the starts.

    Returns:
        The embedding of least energy, its points fixed, in the dtype and on the device of the correlations.

    Raises:
        ValueError: if the correlations are not a finite, symmetric square matrix, or a number is out of its range.
        TypeError: if they are not a dense floating-point tensor, or the law is no `CoactivityLaw`.

    >>> from riemod.manifolds import Sphere
    >>> angle = torch.arange(8) * (torch.pi / 4)
    >>> tuned = torch.cos(angle - angle.unsqueeze(1))
    >>> circle = fit_to_correlations(tuned, Sphere(1), restarts=1, generator=torch.Generator().manual_seed(0))
    >>> bool((circle.distances()[0].argsort()[1:3] % 6 == 1).all())
    True
    """
    restarts, steps = check_repeats("restarts", restarts), check_repeats("steps", steps)
    check_type("manifold", manifold, Manifold, "a Manifold")
    check_generator(generator)
    _check_correlations(correlations)
    check_law(law)
    rate = 40 * natural_scale(manifold) / steps
    if learning_rate is not None:
        rate = check_positive("learning_rate", learning_rate)
    law = law.on(manifold)
    stages = [law]
    if law.repulsion is None:
        stages = [CoactivityLaw(WIDE.inhibitor, law.scale), law.on(manifold, _WIDER), law]
    fits = [_descend(correlations, manifold, stages, steps, rate, generator) for _ in range(restarts)]
    best, _ = min(fits, key=lambda fit: fit[1])
    return NeuronEmbedding(manifold, len(best), learn=False, points=best)


def _descend(
    correlations: Tensor,
    manifold: Manifold,
    stages: Sequence[CoactivityLaw],
    steps: int,
    rate: float,
    generator: torch.Generator | None,
) -> tuple[Tensor, float]:
    """Descend from one random start; return the points and their energy in the last stage."""
    n, dtype, device = len(correlations), correlations.dtype, correlations.device
    points = manifold.parameter(manifold.sample(n, generator=generator, dtype=dtype, device=device))
    optimizer = geoopt.optim.RiemannianAdam([points], lr=rate)
    for step in range(steps):
        optimizer.param_groups[0]["lr"] = rate * (1 - step / steps)
        law = stages[step * len(stages) // steps]
        optimizer.zero_grad()
        energy_of_coordinates(manifold.coordinates(points), correlations, manifold, law).backward(inputs=[points])
        optimizer.step()
    with torch.no_grad():
        energy = energy_of_coordinates(manifold.coordinates(points), correlations, manifold, stages[-1])
    return points.detach(), energy.item()


def _checked(batches: Iterable[Tensor | Sequence[Tensor]]) -> Iterator[Tensor | Sequence[Tensor]]:
    """Yield the batches, one at a time: they may be drawn as they are asked for."""
    if isinstance(batches, str | bytes | Tensor | dict) or not isinstance(batches, Iterable):
        raise TypeError(f"batches must be an iterable of batches, got {kind_of(batches)}")
    for batch in batches:
        if not isinstance(batch, Tensor | list | tuple):
            raise TypeError(f"batches must hold tensors or sequences of arguments, got {kind_of(batch)}")
        yield batch


def _check_correlations(correlations: Tensor) -> None:
    check_tensor("correlations", correlations)
    if not correlations.is_floating_point() or correlations.layout != torch.strided:
        raise TypeError(f"correlations must be dense and floating-point, got {correlations.dtype}")
    if correlations.ndim != 2 or correlations.shape[0] != correlations.shape[1] or not len(correlations):
        raise ValueError(f"correlations must be a square matrix, got shape {tuple(correlations.shape)}")
    if not bool(torch.isfinite(correlations).all()):
        raise ValueError("correlations must be finite, got NaN or infinity")
    apart = (correlations - correlations.T).abs().max().item()
    if apart > 1e-4:
        raise ValueError(f"correlations must be symmetric, got entries that differ from their mirror's by {apart:.3g}")
