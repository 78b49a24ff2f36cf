"""
Points learned by signed evidence
=================================

Where on a sphere does a neuron belong? The net's own weights can tell: neurons that excite each other belong
together, and neurons that inhibit each other belong apart. That is *signed evidence*. The size of a weight alone
cannot tell, for weights are large at both ends: between neighbors, and between opposites.

Here a net walks on a sphere. The points of its neurons follow three kinds of evidence in turn: the sign, the size
alone (as in the published Eq. 6), and the sign again, but permuted over the neurons as a control.
"""

import matplotlib.pyplot as plt
import torch
from torch import nn

import riemod
from riemod import alignment, evidence, inhibitors, manifolds, plotting

# %%
# A net that walks on a sphere
# ----------------------------
# The net is told its place at the start, as a unit vector, then the axis and angle of each rotation of the sphere,
# and must say where it is. A signed law makes excitation cheap between near points, and inhibition between far ones.
# Which neuron lies where is left to the evidence.

STEPS, UNITS = 10, 100
sphere = manifolds.Sphere(dim=2, radius=1.0)


def walks(count, generator):
    turns = 0.25 * torch.randn(STEPS, count, 3, generator=generator)
    places = [sphere.sample(count, generator=generator)]
    for rotation in torch.linalg.matrix_exp(skew(turns)):
        places.append((rotation @ places[-1][..., None])[..., 0])
    return turns, torch.stack(places)


def skew(vectors):
    """Return the matrices (..., 3, 3) whose exponentials rotate about vectors (..., 3)."""
    x, y, z = vectors.unbind(-1)
    zero = torch.zeros_like(x)
    return torch.stack([zero, -z, y, z, zero, -x, -y, x, zero], dim=-1).unflatten(-1, (3, 3))


class Walker(nn.Module):
    def __init__(self):
        super().__init__()
        self.start, self.readout = nn.Linear(3, UNITS), nn.Linear(UNITS, 3)
        self.rnn = nn.RNN(3, UNITS, nonlinearity="relu")

    def forward(self, turns, place):
        states, _ = self.rnn(turns, self.start(place).relu()[None])
        return self.readout(states), states


def train(source, snapshots=()):
    """Train a net whose points follow a source of evidence; return net, points, and the points at some steps."""
    generator = torch.Generator().manual_seed(0)
    torch.manual_seed(0)
    net = Walker()
    law = inhibitors.Signed.mexican_hat(sphere)
    moduli = riemod.ModuliRegularizer(net.rnn, sphere, inhibitor=law, strength=1.0, learn=True, generator=generator)
    follow = riemod.PointEvidence(moduli, source)
    optimizer = riemod.optim.riemannian_adam(net, moduli, lr=2e-3, embedding_lr=0.05)
    kept = []
    for step in range(1000):
        if step in snapshots:
            kept.append(moduli.points.detach().clone())
        turns, places = walks(64, generator)
        error = (net(turns, places[0])[0] - places[1:]).square().mean()
        optimizer.zero_grad()
        (error + moduli() + follow()).backward()
        optimizer.step()
    return net, moduli.points.detach(), kept


# %%
# Do the points say what the neurons prefer?
# ------------------------------------------
# The preferred place of a neuron is the direction of its activity, averaged over the sphere. The points were never
# told of it. Two maps of the same neurons agree if near in one is near in the other: the rank correlation of
# distances over all pairs of active neurons is 1 at best, and about 0 for points that mean nothing.


@torch.no_grad()
def preferred_places(net):
    turns, places = walks(2000, torch.Generator().manual_seed(1))
    said, states = net(turns, places[0])
    error = nn.functional.cosine_similarity(said, places[1:], dim=-1).clamp(-1, 1).acos().median().rad2deg()
    preferred = states.flatten(0, 1).T @ places[1:].flatten(0, 1)
    awake = states.flatten(0, 1).std(0) > 0.1 * states.flatten(0, 1).std(0).max()
    return nn.functional.normalize(preferred, dim=-1), awake, error


sources = {
    "signed weights": evidence.signed_weights,
    "size of weights alone": evidence.absolute_weights,
    "signed weights, permuted": evidence.Permuted(evidence.signed_weights),
}
learned = {}
for name, source in sources.items():
    net, points, kept = train(source, snapshots=(0, 50, 300))
    preferred, awake, error = preferred_places(net)
    geometries = [alignment.distance_matrix(x[awake], sphere) for x in (points, preferred)]
    agreement = alignment.rank_correlation(*geometries)
    learned[name] = points, preferred, awake, kept, agreement
    print(f"{name:25s} agreement {agreement:5.2f}, error {error:.1f} degrees, {int(awake.sum())} neurons active")

# %%
# One net each, of one seed. The page :doc:`Learned points </learned>` has means over seeds, and more controls.
#
# The picture
# -----------
# Each sphere is drawn as two discs, north and south. A neuron has the color of the place that it prefers at the end
# of training: so where colors are in order, the points have found the places. Top: the points under signed evidence,
# from random to ordered. Bottom: what the two other kinds of evidence end with.

figure, axes = plt.subplots(2, 3, figsize=(12, 5.4), layout="constrained")
points, preferred, awake, kept, agreement = learned["signed weights"]
stages = [("step 0", kept[0]), ("step 300", kept[2]), (f"step 1,000: agreement {agreement:.2f}", points)]
for ax, (title, stage) in zip(axes[0], stages, strict=True):
    plotting.plot_points(stage[awake], sphere, plotting.sphere_colors(preferred[awake]), ax=ax)
    ax.set_title(f"signed weights, {title}")
for ax, name in zip(axes[1], list(sources)[1:], strict=False):
    points, preferred, awake, _, agreement = learned[name]
    plotting.plot_points(points[awake], sphere, plotting.sphere_colors(preferred[awake]), ax=ax)
    ax.set_title(f"{name}: agreement {agreement:.2f}")
key = sphere.sample(6000, generator=torch.Generator().manual_seed(0))
plotting.plot_points(key, sphere, plotting.sphere_colors(key), ax=axes[1, 2])
plt.setp(axes[1, 2].collections, sizes=[5], linewidths=0)
axes[1, 2].set_title("the color of each preferred place")
plt.show()
