"""Points of the neurons of one layer: n points on a manifold, or several groups of points on several manifolds."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Self

import torch
from torch import Tensor, nn

from riemod._checks import check_at_least, check_boolean, check_integer, check_items, check_type, shown
from riemod._machine import check_fits, check_place
from riemod.manifolds.base import Manifold


def working_dtype(dtype: torch.dtype) -> torch.dtype:
    """Return the dtype that tensors of a dtype are summed in: the same, or float32 for float16 and bfloat16."""
    return torch.promote_types(dtype, torch.float32)


class NeuronEmbedding(nn.Module):
    """Holds the points x_1 .. x_n of n neurons on a manifold, as one geoopt `ManifoldParameter`.

    Args:
        manifold: where the points lie.
        size: n, the number of neurons, >= 1.
        learn: whether the points are trained.
        points: (n, coordinate_dim) to start from; drawn uniformly in volume if not given.
        generator: draws the points.
        dtype: of the points; float32 if not given, and at least float32: in bfloat16 or float16 points cannot stay on
            their manifold. Changing the dtype of a module later (`.half()`, `.to(torch.bfloat16)`) leaves points in
            float32 for the same reason.
        device: of the points.

    Raises:
        ValueError: if the size is not positive, or `points` are of another shape, not finite or off the manifold.
        TypeError: if `points` is not a floating-point tensor.

    Reference: Sec. 2.3 of https://arxiv.org/abs/2406.06290.

    >>> from riemod.manifolds import Torus
    >>> NeuronEmbedding(Torus(2), 5, generator=torch.Generator().manual_seed(0)).points.shape
    torch.Size([5, 2])
    """

    def __init__(
        self,
        manifold: Manifold,
        size: int,
        *,
        learn: bool = False,
        points: Tensor | None = None,
        generator: torch.Generator | None = None,
        dtype: torch.dtype | None = None,
        device: torch.device | str | None = None,
    ) -> None:
        super().__init__()
        check_type("manifold", manifold, Manifold, "a Manifold")
        size = check_integer("size", size, least=1)
        check_fits("size", size, 4 * size * manifold.coordinate_dim)
        check_boolean("learn", learn)
        check_place(device)
        if dtype is not None:
            if not check_type("dtype", dtype, torch.dtype, "a torch.dtype").is_floating_point:
                raise TypeError(f"dtype must be floating-point, got {dtype}")
            dtype = working_dtype(dtype)
        if points is None:
            points = manifold.sample(size, generator=generator, dtype=dtype or torch.float32, device=device)
        else:
            manifold.check_points(points)
            points = points.detach().to(dtype=dtype or working_dtype(points.dtype), device=device)
            if points.shape[0] != size:
                raise ValueError(f"points must hold {size} neurons, got {points.shape[0]}")
        self.manifold = manifold
        self.points = manifold.parameter(points, requires_grad=learn)

    @property
    def size(self) -> int:
        """Return the number of neurons."""
        return self.points.shape[0]

    def coordinates(self) -> Tensor:
        """Return the tile coordinates (n, k) of the points, for `Manifold.squared_distance`."""
        return self.manifold.coordinates(self.points)

    def distances(self) -> Tensor:
        """Return the geodesic distances (n, n) between the neurons."""
        return self.manifold.distance(self.points, self.points)

    def extra_repr(self) -> str:
        return f"size={self.size}, learn={self.points.requires_grad}"

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> Self:
        def applied(tensor: Tensor) -> Tensor:
            result = fn(tensor)
            narrow = tensor.is_floating_point() and result.dtype != working_dtype(result.dtype)
            return tensor.to(result.device, working_dtype(result.dtype)) if narrow else result

        return super()._apply(applied, recurse)


@dataclass(frozen=True)
class Modules:
    """Splits the neurons of one layer over several manifolds, in order: the paper's "multi-modular" moduli spaces.

    Args:
        parts: (manifold, size) pairs; the size of one part may be None, for all neurons that the others leave.
        between: cost f of a weight that joins neurons of two different modules, >= 0.

    Raises:
        ValueError: if there are fewer than two parts, a size is not positive, two are None, or the cost is negative.
        TypeError: if a part is not a pair that starts with a Manifold.

    >>> from riemod.manifolds import Sphere, Torus
    >>> Modules([(Sphere(1), 100), (Torus(2), None)], between=81.1).sizes(512)
    [100, 412]
    """

    parts: Sequence[tuple[Manifold, int | None]]
    between: float

    def __post_init__(self) -> None:
        object.__setattr__(self, "parts", tuple(check_items("parts", self.parts, "(Manifold, size) pairs")))
        if len(self.parts) < 2:
            raise ValueError(f"parts must name at least two (manifold, size) pairs, got {len(self.parts)}")
        for part in self.parts:
            if not (isinstance(part, tuple) and len(part) == 2):
                raise TypeError(f"parts must hold (Manifold, size) pairs, got {shown(part)}")
            manifold, size = part
            if not isinstance(manifold, Manifold):
                raise TypeError(f"parts must hold (Manifold, size) pairs, got a {type(manifold).__name__}")
            if size is not None:
                check_integer("the sizes of parts", size, least=1)
        if sum(size is None for _, size in self.parts) > 1:
            raise ValueError("parts may leave the size of one manifold open (None), got more than one")
        check_at_least("between", self.between, 0)

    def sizes(self, neurons: int) -> list[int]:
        """Return the number of neurons of each part in a layer of that many neurons.

        Raises:
            ValueError: if it is not an integer >= 1, or the parts do not fit it.
        """
        check_integer("neurons", neurons, least=1)
        stated = sum(size for _, size in self.parts if size is not None)
        rest = neurons - stated
        sizes = [rest if size is None else size for _, size in self.parts]
        if sum(sizes) != neurons or min(sizes) < 1:
            raise ValueError(f"parts must split {neurons} neurons, got sizes {[size for _, size in self.parts]}")
        return sizes
