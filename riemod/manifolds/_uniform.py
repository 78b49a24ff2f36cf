"""Uniform points of manifolds for which geomstats has a uniform law."""

import torch
from torch import Tensor

from riemod._checks import check_generator, check_integer
from riemod._machine import check_fits, check_place
from riemod._torch import outside_graphs
from riemod.manifolds import _geomstats
from riemod.manifolds.base import Manifold


@outside_graphs
def draw_uniform(
    manifold: Manifold, n: int, *, generator: torch.Generator | None, device: torch.device | str | None
) -> Tensor:
    """Draw n points by geomstats' uniform law of the manifold's `space`, seeded by one draw from the generator.

    The points are drawn on the CPU, whatever the generator's device, and are then moved to it. `torch.compile` would
    trace NumPy's generator as if it were torch's.

    Returns:
        (n, k), float64, in the representation of the space.

    Raises:
        TypeError: if the generator is something else.
        ValueError: if n is not an integer >= 0, the points do not fit the memory, or torch has no such device here.
    """
    check_fits("n", check_integer("n", n, least=0), 8 * n * manifold.coordinate_dim)
    check_generator(generator)
    if device is not None:
        check_place(device)
    source = device if generator is None else generator.device
    seed = torch.randint(2**63 - 1, (), generator=generator, device=source)
    if seed.is_meta:
        return torch.empty(n, *manifold.space.shape, dtype=torch.float64, device="meta")
    return torch.from_numpy(_geomstats.uniform(manifold.space, n, int(seed))).to(seed.device)
