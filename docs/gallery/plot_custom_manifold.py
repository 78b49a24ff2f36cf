"""
Your own manifold: why grid cells like triangles
================================================

A manifold is a class of some forty lines. Here it is the *hexagonal torus*: a rhombus of two equilateral triangles
whose opposite sides are glued. Let an animal walk over a floor, take its place modulo that lattice, and let each
neuron fire when the animal is near the neuron's point: it fires in a triangular grid, as grid cells do. On the square
torus that riemod ships, the same neurons fire in a square grid.
"""

import math

import matplotlib.pyplot as plt
import numpy as np
import torch
from geoopt import Euclidean as FlatPoints

import riemod
from riemod import manifolds, recordings, tuning

# %%
# The manifold
# ------------
# A point is stored as its two coordinates in the plane. Points that differ by a vector of the lattice are the same,
# so the distance is that to the nearest of the copies; seven copies are enough once the difference is near the
# origin. ``coordinates`` prepares each point once, and ``squared_distance`` joins two sets of prepared points.


class HexagonalTorus(manifolds.Manifold):
    """The plane modulo the lattice of (side, 0) and (side / 2, side sqrt(3) / 2)."""

    def __init__(self, side=1.0):
        super().__init__(dim=2, coordinate_dim=2, tile_dim=2, geometry=FlatPoints(ndim=1))
        self.side = side
        self.register_buffer("basis", side * torch.tensor([[1.0, 0.0], [0.5, math.sqrt(3) / 2]]), persistent=False)

    @property
    def diameter(self):
        return self.side / math.sqrt(3)

    def betti(self, prime):
        return 1, 2, 1

    def sample(self, n, *, generator=None, dtype=None, device=None):
        share = torch.rand(n, 2, generator=generator, device=device or getattr(generator, "device", None))
        return (share @ self.basis.to(share)).to(dtype or torch.get_default_dtype())

    def coordinates(self, points):
        return points

    def squared_distance(self, row_coordinates, column_coordinates):
        basis = self.basis.to(row_coordinates)
        difference = row_coordinates[:, None] - column_coordinates[None]
        difference = difference - (difference @ basis.inverse()).round() @ basis
        copies = torch.cartesian_prod(*[torch.arange(-1.0, 2.0).to(basis)] * 2) @ basis
        return (difference[..., None, :] + copies).square().sum(-1).amin(-1)

    def tile_key(self):
        return None  # no compiled kernel: plain torch will do

    def flaws(self, points, tolerance):
        return []  # every place in the plane is a point


# %%
# It is at once a place for neurons. Training, pruning and the rest take it as they take the others.

hexagonal, square = HexagonalTorus(), manifolds.Torus(dim=2, period=1.0)
torch.manual_seed(0)
rnn = torch.nn.RNN(2, 64)
moduli = riemod.ModuliRegularizer(rnn, hexagonal, learn=True, generator=torch.Generator().manual_seed(0))
penalty = moduli()
penalty.backward()
print(f"penalty {penalty.item():.4f}; its gradient reaches points: {bool(moduli.points.grad.abs().sum() > 0)}")

# %%
# Does the distance keep the laws of a metric? A sample says so, and says how far apart two points can be: on the
# hexagonal torus never more than 0.577 sides, on the square one 0.707. It is the rounder of the two.

for name, manifold in (("hexagonal", hexagonal), ("square", square)):
    points = manifold.sample(300, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    d = manifold.distance(points, points)
    detour = (d[:, :, None] + d[None] - d[:, None]).min()  # d(i, k) + d(k, j) - d(i, j)
    laws = f"symmetric {bool((d == d.T).all())}, triangle inequality {bool(detour > -1e-9)}"
    print(f"{name:9s} {laws}, farthest {d.max():.3f}")

# %%
# Fields on a floor
# -----------------
# Sixty neurons on each torus, and a simulated walk of 20 minutes in a box of 1.5 m. The tori have a side of 0.5 m. A
# neuron's rate falls with the distance d of the animal from the neuron's point, as exp(-d² / 2 w²) with w = 0.09 m.
# The grid score compares a rate map with itself, turned: it is high if 60 degrees fit and 30, 90 and 150 do not.

SIDE, WIDTH, BOX = 0.5, 0.09, 1.5
walk = recordings.simulate.random_walk(20.0, BOX, generator=torch.Generator().manual_seed(0))
places = torch.from_numpy(walk.position)[::5]
floor = tuning.regular_bins(manifolds.Euclidean(2), 40, (0.0, BOX))


def rate_maps(torus, wrapped):
    points = torus.sample(60, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    rates = torch.exp(-torus.distance(wrapped, points).square() / (2 * WIDTH**2))
    return tuning.rate_maps(rates, places, floor, smoothing=0.03)


maps = {
    "hexagonal": rate_maps(HexagonalTorus(SIDE), places),
    "square": rate_maps(manifolds.Torus(2, period=SIDE), places % SIDE),
}
scores = {name: tuning.grid_scores(found).score for name, found in maps.items()}
for name, score in scores.items():
    print(f"{name:9s} torus: grid score {np.median(score):5.2f} (median of {len(score)} neurons)")

# %%
# The picture
# -----------
# Left: how far each place of the floor is from the neuron's point, in the plane rolled out. Between the copies of the
# point lie hexagons on one torus and squares on the other. Right: the rate map of that neuron, and its grid score.

figure, axes = plt.subplots(2, 2, figsize=(8.4, 7.2), layout="constrained")
fine = torch.cartesian_prod(*[torch.linspace(0, BOX, 181, dtype=torch.float64)] * 2)
rolled = {
    "hexagonal": (HexagonalTorus(SIDE), fine),
    "square": (manifolds.Torus(2, period=SIDE), (fine % SIDE).clamp(max=SIDE * (1 - 1e-9))),
}
for (left, right), (name, (torus, wrapped)) in zip(axes, rolled.items(), strict=True):
    point = torus.sample(60, generator=torch.Generator().manual_seed(2), dtype=torch.float64)[:1]
    image = torus.distance(wrapped, point).reshape(181, 181).T
    shown = left.imshow(image, origin="lower", extent=(0, BOX, 0, BOX), cmap="cividis_r")
    left.contour(image, levels=[0.1, 0.2, 0.25, 0.3], extent=(0, BOX, 0, BOX), colors="white", linewidths=0.7)
    figure.colorbar(shown, ax=left, label="distance, m", shrink=0.85)
    left.set_title(f"{name} torus: distance to a point")
    rates = right.imshow(maps[name].rates[0].reshape(40, 40).T, origin="lower", extent=(0, BOX, 0, BOX), vmin=0)
    figure.colorbar(rates, ax=right, label="rate / peak", shrink=0.85)
    right.set_title(f"its neuron: grid score {scores[name][0]:.2f}".replace("-", "\N{MINUS SIGN}"))
    for ax in (left, right):
        ax.set(xlabel="x, m", ylabel="y, m", xticks=[0, 0.5, 1, 1.5], yticks=[0, 0.5, 1, 1.5])
plt.show()
