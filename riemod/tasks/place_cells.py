"""Place-cell codes of positions in a square arena, and two decoders. Positions and widths are in metres."""

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from riemod.tasks.cross_entropy import PIECE


class PlaceCells:
    """A difference-of-softmaxes code of position by landmarks scattered in a square arena.

    With a_i = exp(-d_i^2 / 4 w^2) for the distance d_i to landmark i, the code of a position is
    y = softmax(-d^2 / 2 w^2) - softmax(-d^2 / 4 w^2) = a^2 / sum a^2 - a / sum a, shifted by its minimum m to be >= 0
    and divided by its sum, which is -m times the number of landmarks (the difference sums to zero).

    Args:
        landmarks: number of landmarks, >= 4.
        side: of the arena, m; positions run from -side/2 to side/2 in x and y.
        width: w, m, at least half the landmarks' mean spacing side / sqrt(landmarks): where all landmarks are many
            widths away, the difference of the softmaxes is lost in rounding.
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
        if landmarks < 4:
            raise ValueError(f"landmarks must be at least 4, got {landmarks}")
        if not (0 < side < math.inf and 0 < width < math.inf):
            raise ValueError(f"side and width must be positive and finite, got side={side!r}, width={width!r}")
        if width < side / (2 * math.sqrt(landmarks)):
            least = side / (2 * math.sqrt(landmarks))
            raise ValueError(f"width must be at least {least:.3g} for {landmarks} landmarks, got {width!r}")
        self.side, self.width = side, width
        self.centers = ((torch.rand(landmarks, 2, generator=generator) - 0.5) * side).to(device)
        self._grid: tuple[Tensor, Tensor, Tensor] | None = None

    def code(self, position: Tensor) -> Tensor:
        """(..., landmarks) probabilities, the code of positions (..., 2) in m."""
        flat = position.reshape(-1, 2)
        codes = flat.new_empty(flat.shape[0], self.centers.shape[0])
        # On CPU in pieces that stay in the cache through all passes over them.
        rows = max(1, PIECE // self.centers.shape[0]) if flat.device.type == "cpu" else flat.shape[0]
        for points, out in zip(flat.split(rows), codes.split(rows), strict=True):
            self._write_code(points, out)
        return codes.view(*position.shape[:-1], -1)

    def _write_code(self, points: Tensor, out: Tensor) -> None:
        """The codes of (b, 2) positions into (b, landmarks)."""
        # |x|^2 is the same for all landmarks, and no softmax sees it: -a (|c|^2 - 2 c.x) is left of -a d^2.
        scale = 0.25 / self.width**2
        torch.addmm((self.centers * self.centers).sum(-1) * -scale, points, self.centers.T, alpha=2 * scale, out=out)
        broad = out.sub_(out.amax(-1, keepdim=True)).exp_()
        total, narrow_total = broad.sum(-1, keepdim=True), torch.linalg.vecdot(broad, broad).unsqueeze(-1)
        difference = torch.addcmul(-1 / total, broad, 1 / narrow_total).mul_(broad)
        minimum = difference.amin(-1, keepdim=True)
        torch.div(difference.sub_(minimum), -minimum * self.centers.shape[0], out=out)

    def decode_top(self, scores: Tensor, count: int = 3) -> Tensor:
        """(..., 2) m: the mean of the `count` most active landmarks of scores (..., landmarks), the paper's decoder."""
        return self.centers[scores.topk(count, dim=-1).indices].mean(-2)

    def decode_maximum_likelihood(self, scores: Tensor) -> Tensor:
        """(..., 2) m: the position whose code the scores fit best, argmin_x KL(code(x) || softmax(scores)).

        That is the position under which the training loss, the cross-entropy of softmax(scores), exceeds its own least
        value by the least. Found on a grid, then refined by the paraboloid through the best grid point's neighbours.
        """
        grid, codes, entropy = self._likelihood_grid()
        points_per_side = math.isqrt(grid.shape[0])
        flat = F.log_softmax(scores.reshape(-1, scores.shape[-1]), dim=-1)
        decoded = torch.empty(flat.shape[0], 2, dtype=scores.dtype, device=scores.device)
        for start in range(0, flat.shape[0], 4096):
            likelihood = (flat[start : start + 4096] @ codes.T + entropy).reshape(-1, points_per_side, points_per_side)
            decoded[start : start + 4096] = self._refine(likelihood)
        return decoded.reshape(*scores.shape[:-1], 2)

    def _likelihood_grid(self) -> tuple[Tensor, Tensor, Tensor]:
        """Grid points (g^2, 2) spaced about w/3 apart, their codes, and the codes' entropies."""
        if self._grid is None:
            points_per_side = max(8, math.ceil(3 * self.side / self.width))
            axis = torch.linspace(-self.side / 2, self.side / 2, points_per_side, device=self.centers.device)
            grid = torch.cartesian_prod(axis, axis)
            codes = self.code(grid)
            self._grid = grid, codes, -torch.special.xlogy(codes, codes).sum(-1)
        return self._grid

    def _refine(self, likelihood: Tensor) -> Tensor:
        """(b, 2) positions of the maxima of (b, g, g) likelihoods, to a fraction of the grid's spacing."""
        size = likelihood.shape[-1]
        spacing = self.side / (size - 1)
        best = likelihood.flatten(1).argmax(1)
        # A maximum on the rim is refined by the paraboloid around its inner neighbour, and may lie half a cell outside.
        index = torch.stack((best // size, best % size), dim=-1).clamp(1, size - 2)
        rows = torch.arange(likelihood.shape[0], device=likelihood.device)

        def at(x: int, y: int) -> Tensor:
            return likelihood[rows, index[:, 0] + x, index[:, 1] + y]

        center = at(0, 0)
        slope = torch.stack((at(1, 0) - at(-1, 0), at(0, 1) - at(0, -1)), dim=-1) / 2
        curvature_x, curvature_y = at(1, 0) + at(-1, 0) - 2 * center, at(0, 1) + at(0, -1) - 2 * center
        mixed = (at(1, 1) + at(-1, -1) - at(1, -1) - at(-1, 1)) / 4
        determinant = curvature_x * curvature_y - mixed * mixed
        newton = torch.stack(
            (mixed * slope[:, 1] - curvature_y * slope[:, 0], mixed * slope[:, 0] - curvature_x * slope[:, 1]), dim=-1
        ) / torch.where(determinant > 0, determinant, 1.0).unsqueeze(-1)
        concave = ((determinant > 0) & (curvature_x < 0)).unsqueeze(-1)
        step = torch.where(concave, newton, 0.0).clamp(-1.5, 1.5)
        return (index + step) * spacing - self.side / 2
