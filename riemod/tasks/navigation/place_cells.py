"""Place-cell codes of positions and two decoders: what all arenas share, and the square arena. Lengths are in m."""

import math
from abc import ABC, abstractmethod

import torch
import torch.nn.functional as F
from torch import Tensor

from riemod._checks import check_integer, check_positive
from riemod.tasks.cross_entropy import PIECE


class LandmarkCode(ABC):
    """Codes positions by landmarks as a difference of softmaxes, in any arena, and decodes them.

    Args:
        centers: (landmarks, k) positions of the landmarks.
        width: w, m.
    """

    def __init__(self, centers: Tensor, width: float) -> None:
        self.centers, self.width = centers, width
        self._grid: tuple[Tensor, Tensor, Tensor] | None = None

    @abstractmethod
    def distance(self, x: Tensor, y: Tensor) -> Tensor:
        """Return (...) m: the geodesic distances of positions x and y, both (..., k)."""

    @abstractmethod
    def decode_top(self, scores: Tensor, count: int = 3) -> Tensor:
        """Return (..., k): the mean of the `count` most active landmarks of scores (..., landmarks)."""

    @abstractmethod
    def _write_exponents(self, points: Tensor, out: Tensor) -> None:
        """Write -d^2 / 4 w^2 of (b, k) positions into (b, landmarks), up to a constant of each row."""

    @abstractmethod
    def _grid_points(self) -> Tensor:
        """Return points (g, k) that cover the arena, spaced about w/3 apart."""

    @abstractmethod
    def _refine(self, grid: Tensor, likelihood: Tensor, log_probabilities: Tensor) -> Tensor:
        """Return (b, k): the likeliest positions, near the maxima of (b, g) likelihoods of the grid's points."""

    def code(self, position: Tensor) -> Tensor:
        """Return (..., landmarks) probabilities, the code of positions (..., k)."""
        flat = position.reshape(-1, position.shape[-1])
        codes = flat.new_empty(flat.shape[0], self.centers.shape[0])
        # On a CPU pieces of the rows stay in the cache through all passes over them.
        rows = max(1, PIECE // self.centers.shape[0]) if flat.device.type == "cpu" else flat.shape[0]
        for points, out in zip(flat.split(rows), codes.split(rows), strict=True):
            self._write_code(points, out)
        return codes.view(*position.shape[:-1], -1)

    def _write_code(self, points: Tensor, out: Tensor) -> None:
        """Write the codes of (b, k) positions into (b, landmarks)."""
        self._write_exponents(points, out)
        broad = out.sub_(out.amax(-1, keepdim=True)).exp_()
        total, narrow_total = broad.sum(-1, keepdim=True), torch.linalg.vecdot(broad, broad).unsqueeze(-1)
        difference = torch.addcmul(-1 / total, broad, 1 / narrow_total).mul_(broad)
        minimum = difference.amin(-1, keepdim=True)
        torch.div(difference.sub_(minimum), -minimum * self.centers.shape[0], out=out)

    def decode_maximum_likelihood(self, scores: Tensor) -> Tensor:
        """Return (..., k): the position whose code the scores fit best, argmin_x KL(code(x) || softmax(scores)).

        There the training loss, the cross-entropy of softmax(scores), is closest to its lowest possible value. The
        position is found on a grid, then refined by the paraboloid through the neighbors of the best grid point.
        """
        grid, codes, entropy = self._likelihood_grid()
        flat = F.log_softmax(scores.reshape(-1, scores.shape[-1]), dim=-1)
        decoded = torch.empty(flat.shape[0], grid.shape[1], dtype=scores.dtype, device=scores.device)
        for start in range(0, flat.shape[0], 4096):
            piece = flat[start : start + 4096]
            decoded[start : start + 4096] = self._refine(grid, piece @ codes.T + entropy, piece)
        return decoded.reshape(*scores.shape[:-1], -1)

    def _likelihood_grid(self) -> tuple[Tensor, Tensor, Tensor]:
        """Return grid points (g, k), their codes, and the codes' negative entropies."""
        if self._grid is None:
            grid = self._grid_points()
            codes = self.code(grid)
            self._grid = grid, codes, -torch.special.xlogy(codes, codes).sum(-1)
        return self._grid


class PlaceCells(LandmarkCode):
    """Codes positions by landmarks scattered in a square arena, as a difference of softmaxes.

    With a_i = exp(-d_i^2 / 4 w^2) for the distance d_i to landmark i, the code of a position is
    y = softmax(-d^2 / 2 w^2) - softmax(-d^2 / 4 w^2) = a^2 / sum a^2 - a / sum a, shifted by its minimum m to be >= 0
    and divided by its sum, which is -m times the number of landmarks (the difference sums to zero).

    Args:
        landmarks: number of landmarks, >= 4.
        side: of the arena, m; positions run from -side/2 to side/2 in x and y.
        width: w, m, at least half the landmarks' mean spacing side / sqrt(landmarks): in narrower codes all
            landmarks can be many widths away, and the difference of the softmaxes is lost in rounding.
        generator: draws the landmarks uniformly in the arena.
        device: of the landmarks.

    Raises:
        ValueError: if a number is outside its range.

    Reference: the code of Sec. 4.1 of https://arxiv.org/abs/2406.06290, after Sorscher et al. 2019.

    >>> cells = PlaceCells(64, width=0.3, generator=torch.Generator().manual_seed(0))
    >>> cells.code(torch.zeros(5, 2)).shape
    torch.Size([5, 64])
    """

    def __init__(
        self,
        landmarks: int = 512,
        *,
        side: float = 2.2,
        width: float = 0.12,
        generator: torch.Generator | None = None,
        device: torch.device | str = "cpu",
    ) -> None:
        check_integer("landmarks", landmarks, least=4)
        check_positive("side", side)
        check_positive("width", width)
        if width < side / (2 * math.sqrt(landmarks)):
            least = side / (2 * math.sqrt(landmarks))
            raise ValueError(f"width must be at least {least:.3g} for {landmarks} landmarks, got {width!r}")
        super().__init__(((torch.rand(landmarks, 2, generator=generator) - 0.5) * side).to(device), width)
        self.side = side

    def distance(self, x: Tensor, y: Tensor) -> Tensor:
        return (x - y).norm(dim=-1)

    def _write_exponents(self, points: Tensor, out: Tensor) -> None:
        # |x|^2 is the same for all landmarks and cancels in a softmax, so -a d^2 becomes -a (|c|^2 - 2 c.x).
        scale = 0.25 / self.width**2
        torch.addmm((self.centers * self.centers).sum(-1) * -scale, points, self.centers.T, alpha=2 * scale, out=out)

    def decode_top(self, scores: Tensor, count: int = 3) -> Tensor:
        """Return (..., 2) m: the mean of the `count` most active landmarks of scores (..., landmarks)."""
        return self.centers[scores.topk(count, dim=-1).indices].mean(-2)

    def _grid_points(self) -> Tensor:
        points_per_side = max(8, math.ceil(3 * self.side / self.width))
        axis = torch.linspace(-self.side / 2, self.side / 2, points_per_side, device=self.centers.device)
        return torch.cartesian_prod(axis, axis)

    def _refine(self, grid: Tensor, likelihood: Tensor, log_probabilities: Tensor) -> Tensor:
        size = math.isqrt(grid.shape[0])
        spacing = self.side / (size - 1)
        best = likelihood.argmax(1)
        # A maximum on the rim is refined by the paraboloid around its inner neighbor, and may lie half a cell outside.
        index = torch.stack((best // size, best % size), dim=-1).clamp(1, size - 2)
        near = torch.arange(-1, 2, device=index.device)
        rows, columns = index[:, 0, None, None] + near[:, None], index[:, 1, None, None] + near
        values = likelihood.gather(1, (rows * size + columns).flatten(1)).reshape(-1, 3, 3)
        return (index + summit(values)) * spacing - self.side / 2


def summit(values: Tensor) -> Tensor:
    """Return (b, 2) summits of paraboloids through (b, 3, 3) values on a grid, in grid spacings from the middle.

    A summit is at most 1.5 spacings away along each axis; a paraboloid without a summit gives the middle.
    """

    def at(x: int, y: int) -> Tensor:
        return values[:, 1 + x, 1 + y]

    center = at(0, 0)
    slope = torch.stack((at(1, 0) - at(-1, 0), at(0, 1) - at(0, -1)), dim=-1) / 2
    curvature_x, curvature_y = at(1, 0) + at(-1, 0) - 2 * center, at(0, 1) + at(0, -1) - 2 * center
    mixed = (at(1, 1) + at(-1, -1) - at(1, -1) - at(-1, 1)) / 4
    determinant = curvature_x * curvature_y - mixed * mixed
    newton = torch.stack(
        (mixed * slope[:, 1] - curvature_y * slope[:, 0], mixed * slope[:, 0] - curvature_x * slope[:, 1]), dim=-1
    ) / torch.where(determinant > 0, determinant, 1.0).unsqueeze(-1)
    concave = ((determinant > 0) & (curvature_x < 0)).unsqueeze(-1)
    return torch.where(concave, newton, 0.0).clamp(-1.5, 1.5)
