"""Place-cell codes of positions on a closed arena, by geodesic distance, and two decoders. Lengths are in meters."""

import torch
from torch import Tensor

from riemod._checks import check_integer
from riemod.tasks.navigation.arenas import Arena
from riemod.tasks.navigation.place_cells import LandmarkCode, summit


class ManifoldPlaceCells(LandmarkCode):
    """Codes positions as `PlaceCells` does, by landmarks scattered on a closed arena; d is the geodesic distance.

    Args:
        arena: where.
        landmarks: number of landmarks, >= 4.
        width: w, m, at least half the landmarks' mean spacing and at most the arena's diameter: in narrower and in
            wider codes the difference of the softmaxes is lost in rounding.
        generator: draws the landmarks uniformly on the arena.
        device: of the landmarks.

    Raises:
        ValueError: if a number is outside its range.

    Reference: the code of Sec. 4.1 of https://arxiv.org/abs/2406.06290, after Sorscher et al. 2019.

    >>> from riemod.tasks.navigation.arenas import arena_by_name
    >>> klein = arena_by_name("klein")
    >>> cells = ManifoldPlaceCells(klein, 64, width=0.3, generator=torch.Generator().manual_seed(0))
    >>> cells.code(torch.zeros(5, 2)).shape
    torch.Size([5, 64])
    """

    def __init__(
        self,
        arena: Arena,
        landmarks: int,
        *,
        width: float,
        generator: torch.Generator | None = None,
        device: torch.device | str = "cpu",
    ) -> None:
        check_integer("landmarks", landmarks, least=4)
        if not arena.spacing(landmarks) / 2 <= width <= arena.manifold.diameter:
            raise ValueError(
                f"width must be in [{arena.spacing(landmarks) / 2:.3g}, {arena.manifold.diameter:.3g}] for {landmarks} "
                f"landmarks on {arena.manifold}, got {width!r}"
            )
        super().__init__(arena.manifold.sample(landmarks, generator=generator, dtype=torch.float32).to(device), width)
        self.arena = arena
        self._center_coordinates = arena.manifold.coordinates(self.centers)

    def distance(self, x: Tensor, y: Tensor) -> Tensor:
        return self.arena.manifold.geometry.dist(x, y)

    def _write_exponents(self, points: Tensor, out: Tensor) -> None:
        manifold = self.arena.manifold
        squared = manifold.squared_distance(manifold.coordinates(points), self._center_coordinates)
        torch.mul(squared, -0.25 / self.width**2, out=out)

    def decode_top(self, scores: Tensor, count: int = 3) -> Tensor:
        """Return (..., coordinate_dim): the mean of the `count` most active landmarks of scores (..., landmarks).

        It is the mean of their logarithms at the most active one, mapped back: one step towards the Frechet mean. On
        the flat arenas it is the Frechet mean itself if all of them lie within a quarter of the side of the first.
        """
        geometry = self.arena.manifold.geometry
        chosen = self.centers[scores.topk(count, dim=-1).indices]
        return geometry.expmap(chosen[..., 0, :], geometry.logmap(chosen[..., :1, :], chosen).mean(-2))

    def _grid_points(self) -> Tensor:
        return self.arena.lattice(self.width / 3).to(self.centers.device)

    def _refine(self, grid: Tensor, likelihood: Tensor, log_probabilities: Tensor) -> Tensor:
        """Move the best grid points to the summit of the paraboloid through points around them on the manifold."""
        manifold, spacing = self.arena.manifold, self.width / 3
        best = grid[likelihood.argmax(1)]
        steps = torch.cartesian_prod(*[torch.tensor([-1.0, 0.0, 1.0], device=grid.device)] * manifold.dim)
        offsets = steps.reshape(-1, manifold.dim) * spacing
        frame = self.arena.compass(best)
        around = manifold.geometry.expmap(best.unsqueeze(1), torch.einsum("sd,bdk->bsk", offsets, frame))
        codes = self.code(around)
        values = (codes @ log_probabilities.unsqueeze(-1)).squeeze(-1) - torch.special.xlogy(codes, codes).sum(-1)
        if manifold.dim == 1:
            # The paraboloid needs two axes: along the one that a circle lacks the values get a summit at 0.
            values = values.unsqueeze(-1) - torch.tensor([1.0, 0.0, 1.0], device=grid.device)
        move = summit(values.reshape(-1, 3, 3))[:, : manifold.dim] * spacing
        return manifold.geometry.expmap(best, torch.einsum("bd,bdk->bk", move, frame))
