"""
A tree in a ball of learned curvature
=====================================

A tree doubles at every level, and flat space does not: in the plane the leaves of a tall tree run out of room. In
hyperbolic space a circle's length grows exponentially with its radius, as a tree does. How strongly should the space
be curved? The curvature is a parameter like any other here: ``PoincareBall(learn_curvature=True)`` learns it together
with the points.
"""

import matplotlib.pyplot as plt
import numpy as np
import torch
from matplotlib.ticker import PercentFormatter
from scipy.sparse.csgraph import shortest_path

import riemod
from riemod import manifolds, plotting

# %%
# A tree
# ------
# A binary tree of six levels has 63 nodes. The distance of two nodes is the number of edges between them.

LEVELS, STEPS = 6, 2500
n = 2**LEVELS - 1
parents = torch.arange(1, n).sub(1).div(2, rounding_mode="floor")
edges = np.zeros((n, n))
edges[np.arange(1, n), parents] = 1
wanted = torch.from_numpy(shortest_path(edges, directed=False)).float()
level = torch.arange(1, n + 1).log2().floor().int()
print(f"{n} nodes, the farthest {int(wanted.max())} edges apart")

# %%
# Embed it
# --------
# Points and curvature go down the gradient of the mean squared relative error of all distances. One edge is one unit
# of length. ``NeuronEmbedding`` holds the points; any module with parameters on a manifold can be handed to
# ``riemannian_adam``. The plane gets the same treatment, for comparison.

pairs = torch.triu_indices(n, n, 1)


def embed(manifold, scale):
    """Return the embedding, and the mean relative error and the curvature at each step."""
    points = scale * torch.randn(n, 2, generator=torch.Generator().manual_seed(0))
    embedding = riemod.NeuronEmbedding(manifold, n, learn=True, points=points)
    optimizer = riemod.optim.riemannian_adam(embedding, lr=0.05)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, STEPS)
    errors, curvatures = [], []
    for _ in range(STEPS):
        relative = embedding.distances()[*pairs] / wanted[*pairs] - 1
        optimizer.zero_grad()
        relative.square().mean().backward()
        optimizer.step()
        schedule.step()
        errors.append(relative.abs().mean().item())
        curvatures.append(getattr(manifold, "curvature", 0.0))
    return embedding, errors, curvatures


ball, ball_errors, curvatures = embed(manifolds.PoincareBall(2, curvature=-1.0, learn_curvature=True), 0.2)
plane, plane_errors, _ = embed(manifolds.Euclidean(2), 2.0)
print(f"in the ball: distances are off by {ball_errors[-1]:.1%} on average")
print(f"in the plane: distances are off by {plane_errors[-1]:.1%} on average")
print(f"the curvature began at -1 per squared edge and ends at {curvatures[-1]:.2f}")

# %%
# One start each, of one seed: an embedding can be caught in a tangle, and other starts end a little higher or lower.
#
# The picture
# -----------
# Left: the tree in the ball, its edges drawn as geodesics. All edges are meant to be one long; they look shorter near
# the rim because a length there is worth more. Middle: the same tree in the plane. It looks tidy, but leaves of
# neighboring branches, which are up to ten edges apart in the tree, come to lie side by side. Right: the error while
# learning, and the curvature that comes out.

figure = plt.figure(figsize=(13, 4.4), layout="constrained")
grid = figure.add_gridspec(2, 3, width_ratios=(1.25, 1.25, 1))
left, middle = figure.add_subplot(grid[:, 0]), figure.add_subplot(grid[:, 1])
upper, lower = figure.add_subplot(grid[0, 2]), figure.add_subplot(grid[1, 2])
colors = plt.get_cmap("viridis")(level / level.max())[:, :3]
for ax, embedding, title in ((left, ball, "In the Poincare ball"), (middle, plane, "In the plane")):
    points = embedding.points.detach()
    plotting.plot_geodesics(points[1:], points[parents], embedding.manifold, ax=ax)
    plotting.plot_points(points, embedding.manifold, colors, ax=ax)
    ax.set_title(title)
marks = plt.cm.ScalarMappable(plt.Normalize(0, LEVELS - 1), "viridis")
figure.colorbar(marks, ax=middle, label="level of the tree", shrink=0.8)
steps = range(1, len(ball_errors) + 1)
upper.plot(steps, plane_errors, "--", color="#D55E00", label="plane")
upper.plot(steps, ball_errors, color="#0072B2", label="ball")
upper.set(ylabel="mean error of a distance", ylim=(0, 0.6), xticklabels=[])
upper.yaxis.set_major_formatter(PercentFormatter(1))
upper.legend()
lower.plot(steps, curvatures, color="#0072B2")
lower.set(xlabel="step", ylabel="curvature, 1/edge²")
plt.show()
