"""Masks from the positions of neurons, before any training.

The temperature T turns costs f(d) into a mask: pairs are drawn without replacement, each in proportion to exp(-f / T).
T = 0 takes the cheapest pairs. T = infinity draws uniformly, which is the control without geometry; the control with
the same costs shuffled over pairs is `riemod.regularization.controls.Shuffled`.

How to choose T: under a difference of Gaussians the cheapest pairs on a surface form a ring around each neuron. They
make a lattice, whose paths grow with its diameter. Far pairs all cost f_max and have the small weight exp(-f_max / T),
but they cover most of the surface, so a few of them are drawn as shortcuts, which turn the lattice into a small world.
For 128 neurons on the torus of period 10 at 95 % sparsity (means of five embeddings), the share of far pairs (f > 60)
is 0, 2, 23 and 76 % at T = 0, 10, 20 and infinity, and a path between two neurons takes 4.5, 3.7, 2.9 and 2.8 steps on
average.
"""

import math
from collections.abc import Callable

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from riemod._arrays import check_tensor
from riemod._checks import check_generator, check_integer, is_number, shown
from riemod.pruning.schedules import check_sparsity
from riemod.pruning.selection import drop_smallest
from riemod.regularization import _tiles as tiles
from riemod.regularization.embedding import NeuronEmbedding
from riemod.regularization.inhibitors import CostLaw, DifferenceOfGaussians
from riemod.regularization.inhibitors.signed import as_law, costs_at, least_cost
from riemod.regularization.regularizer import ModuliRegularizer

__all__ = ["check_temperature", "geometric_mask", "geometric_prior"]


@torch.no_grad()
def geometric_mask(
    geometry: NeuronEmbedding | ModuliRegularizer,
    sparsity: float,
    inhibitor: CostLaw | Callable[[Tensor], Tensor] | None = None,
    *,
    layer: int = 0,
    temperature: float = 0.0,
    generator: torch.Generator | None = None,
) -> Bool[Tensor, "n m"]:
    """Draw a mask that keeps the n m - round(sparsity n m) pairs (j, k) of least f(d(x_j, y_k)) / T - G_jk.

    G is standard Gumbel noise, so pairs are drawn without replacement, each next one with probability proportional to
    exp(-f / T) among those left. At T = 0 the cheapest pairs are kept, equal ones in the order of their flat index. If
    n + m or more pairs are kept, every target keeps an input and every source keeps an output: the pair that comes
    first among those of finite cost that join two different neurons. A self-connection is kept like any other pair.
    Under a `Signed` law f is the cost of the cheaper sign, min(f+, f-): a fresh weight may still take either.

    Args:
        geometry: an embedding, whose neurons are both targets and sources; or a regularizer or a control, which gives
            its own costs.
        sparsity: fraction of pairs that are dropped, in [0, 1].
        inhibitor: f for an embedding, by default a difference of Gaussians; None for a regularizer, which has its own.
        layer: which of a regularizer's weights.
        temperature: T >= 0 in units of the cost f; `math.inf` draws uniformly.
        generator: source of G; None draws from torch's global generator. Not used at T = 0.

    Returns:
        Bool, n targets by m sources, True where a weight is kept, on the points' device. For a layer with gates it is
        the mask of each gate (`apply_masks` repeats it).

    Raises:
        TypeError: `geometry` is neither an embedding nor a regularizer.
        ValueError: a number is out of its range, an inhibitor comes with a regularizer, costs are negative or NaN,
            fewer pairs have a finite cost than are to be kept, or all costs are the same at T = 0.

    Reference: Kool, van Hoof and Welling 2019, https://arxiv.org/abs/1903.06059 (Gumbel top-k is such a draw); small
    worlds: Watts and Strogatz 1998, https://doi.org/10.1038/30918.

    >>> from riemod.manifolds import Torus
    >>> embedding = NeuronEmbedding(Torus(2), 64, generator=torch.Generator().manual_seed(0))
    >>> mask = geometric_mask(embedding, 0.9)
    >>> int((~mask).sum()) == round(0.9 * 64 * 64), bool(mask.any(0).all() and mask.any(1).all())
    (True, True)
    """
    check_sparsity("sparsity", sparsity)
    check_temperature(temperature)
    check_generator(generator)
    costs, recurrent = _costs(geometry, inhibitor, layer)
    kept = costs.numel() - round(float(sparsity) * costs.numel())
    if not bool((costs >= 0).all()):
        raise ValueError("inhibitor must give costs >= 0 for all pairs, got negative ones or NaN")
    if (finite := int(costs.isfinite().count_nonzero())) < kept:
        raise ValueError(
            f"sparsity must leave no more pairs than have a finite cost, {finite}, got {sparsity!r}, which keeps {kept}"
        )
    if temperature == 0 and 0 < kept < costs.numel() and bool(costs.min() == costs.max()):
        raise ValueError("temperature must be above 0 for costs that are all the same, of which none is cheapest")
    keys = costs if temperature == 0 else _arrivals(costs, temperature, generator)
    first = _firsts(keys, recurrent) if kept >= sum(costs.shape) else torch.zeros_like(keys, dtype=torch.bool)
    return ~drop_smallest([keys], [~first], kept)[0]


def geometric_prior(costs: Float[Tensor, "n m"], temperature: float) -> Float[Tensor, "n m"]:
    """Return exp(-(f - min f) / T) in float64: 1 for the cheapest pairs, and less for pairs that cost more.

    Args:
        costs: f >= 0; an infinite cost gives 0.
        temperature: T > 0 in units of the cost; `math.inf` gives 1 for every finite cost.

    Returns:
        Values in [0, 1], of the same shape.

    Raises:
        ValueError: `temperature` is no number above 0, or no cost is finite.

    >>> geometric_prior(torch.tensor([[3.0, 5.0]]), 2.0)
    tensor([[1.0000, 0.3679]], dtype=torch.float64)
    """
    check_temperature(temperature)
    if temperature == 0:
        raise ValueError("temperature must be above 0 for a prior, got 0")
    if not check_tensor("costs", costs).is_floating_point() or bool(costs.isnan().any()):
        raise ValueError("costs must be floating-point numbers or infinity, got NaN or another dtype")
    finite = costs[costs.isfinite()]
    if not len(finite):
        raise ValueError("costs must be finite for at least one pair, got none")
    prior = ((costs.double() - finite.min()) / -temperature).exp()
    return prior.masked_fill(costs.isinf(), 0)


@torch.no_grad()
def pair_costs(moduli: ModuliRegularizer, layer: int) -> Float[Tensor, "n m"]:
    """Return what each pair of a weight costs, computed in row tiles; the cheaper sign's under a `Signed` law."""
    target = moduli.weights[layer]
    height = max(1, tiles.TILE_ELEMENTS // target.sources)
    spans = ((first, min(first + height, target.neurons)) for first in range(0, target.neurons, height))
    return torch.cat([least_cost(moduli.costs.rows(layer, *span)) for span in spans])


def check_temperature(temperature: float) -> None:
    """Raise a ValueError unless the temperature is a number >= 0 or infinity."""
    if not is_number(temperature) or not temperature >= 0:
        raise ValueError(f"temperature must be a number >= 0, in units of the cost, got {shown(temperature)}")


def _costs(geometry: object, inhibitor: object, layer: int) -> tuple[Tensor, bool]:
    """Return the (n, m) costs, computed in row tiles, and whether rows and columns are the same neurons."""
    if isinstance(geometry, NeuronEmbedding):
        law = DifferenceOfGaussians() if inhibitor is None else as_law(inhibitor)  # pyright: ignore[reportArgumentType]
        points, manifold = geometry.coordinates(), geometry.manifold
        height = max(1, tiles.TILE_ELEMENTS // geometry.size)
        squared = (manifold.squared_distance(own, points) for own in points.split(height))
        return torch.cat([least_cost(costs_at(law, distances)) for distances in squared]), True
    if not isinstance(geometry, ModuliRegularizer):
        raise TypeError(f"geometry must be a NeuronEmbedding or a ModuliRegularizer, got {type(geometry).__name__}")
    if inhibitor is not None:
        raise ValueError("inhibitor must be None for a regularizer, which has its own")
    layer = check_integer("layer", layer, 0, len(geometry.weights) - 1)
    sides = geometry.sides[layer]
    return pair_costs(geometry, layer), sides.sources == sides.targets


def _arrivals(costs: Tensor, temperature: float, generator: torch.Generator | None) -> Tensor:
    """Return keys >= 0 in the order of f / T - G.

    They are the logarithms of exponential waiting times of rate exp(-f / T), shifted so that the least is 0.
    """
    device = costs.device if generator is None else generator.device
    noise = torch.empty(costs.shape, dtype=costs.dtype, device=device).exponential_(generator=generator)
    keys = noise.clamp_(min=torch.finfo(noise.dtype).tiny).log_().to(costs.device)
    keys += costs.masked_fill(costs.isinf(), 0) / temperature
    keys -= keys.min()
    return keys.masked_fill_(costs.isinf(), math.inf)


def _firsts(keys: Tensor, recurrent: bool) -> Tensor:
    """Mark the first source of every target, and the first target of every source that has none yet."""
    others = keys.clone()
    if recurrent:
        others.fill_diagonal_(math.inf)
    first = torch.zeros_like(keys, dtype=torch.bool)
    first.scatter_(1, others.argmin(1, keepdim=True), True)
    unused = ~first.any(0)
    first[others.argmin(0)[unused], unused.nonzero().squeeze(1)] = True
    return first & others.isfinite()
