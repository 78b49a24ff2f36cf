"""
A ring attractor
================

A compass in the head must remember a heading while no landmark is in sight, and turn it by every turn of the body.
Here a small recurrent net learns that, and its units find places on a ring while they learn.

Nobody tells a unit where on the ring it belongs. Units that are active together move together, and a *signed law*
makes excitation cheap between neighbors and inhibition cheap across the ring. At the end the weights, read in the
order of the ring, show the bands of a ring attractor, and the activity is one bump that walks with the heading.
"""

import matplotlib.pyplot as plt
import torch
from matplotlib import patheffects
from torch import nn

import riemod
from riemod import inhibitors, manifolds, plotting

# %%
# The task
# --------
# A walk is a sequence of turns, in rad. The net is told the heading at the start, then only the turns, and must say
# the cosine and the sine of the heading after each.

generator = torch.Generator().manual_seed(0)
STEPS, BATCH, UNITS = 20, 64, 96


def walks(steps, count):
    """Draw turns (steps, count, 1), with a speed that changes slowly, and headings (steps + 1, count)."""
    speed = 0.15 * torch.randn(steps, count, generator=generator)
    turns = torch.stack([speed[max(0, t - 4) : t + 1].mean(0) * 2 for t in range(steps)])
    start = 2 * torch.pi * torch.rand(1, count, generator=generator)
    return turns[..., None], torch.cat([start, start + turns.cumsum(0)])


def direction(heading):
    return torch.stack([heading.cos(), heading.sin()], dim=-1)


class Compass(nn.Module):
    def __init__(self):
        super().__init__()
        self.start, self.readout = nn.Linear(2, UNITS), nn.Linear(UNITS, 2)
        self.rnn = nn.RNN(1, UNITS, nonlinearity="relu")

    def forward(self, turns, heading):
        states, _ = self.rnn(turns, self.start(direction(heading)).relu()[None])
        return self.readout(states), states


# %%
# Places on a ring
# ----------------
# A one-dimensional torus of period 2 pi is a ring on which a point is an angle. The regularizer draws a random angle
# for each unit. ``PointEvidence`` moves the angles by the units' co-activity.

torch.manual_seed(0)
net = Compass()
ring = manifolds.Torus(dim=1, period=2 * torch.pi)
law = inhibitors.Signed.mexican_hat(ring)
moduli = riemod.ModuliRegularizer(net.rnn, ring, inhibitor=law, strength=2.0, learn=True, generator=generator)
evidence = riemod.PointEvidence(moduli, riemod.Coactivity())
optimizer = riemod.optim.riemannian_adam(net, moduli, lr=2e-3, embedding_lr=0.05)

with evidence.observing():
    for _ in range(1200):
        turns, headings = walks(STEPS, BATCH)
        said, _ = net(turns, headings[0])
        error = (said - direction(headings[1:])).square().mean()
        optimizer.zero_grad()
        (error + moduli() + evidence()).backward()
        optimizer.step()


# %%
# How well does it keep its heading?
# ----------------------------------
# The error is the median angle between what the net says and the truth, at the end of walks of the trained length and
# of walks ten times as long. Knowing nothing would give 90 degrees.


@torch.no_grad()
def median_error(steps):
    turns, headings = walks(steps, 500)
    said = net(turns, headings[0])[0][-1]
    wrong = torch.atan2(said[:, 1], said[:, 0]) - headings[-1]
    return torch.atan2(wrong.sin(), wrong.cos()).abs().median().rad2deg().item()


for steps in (STEPS, 10 * STEPS):
    print(f"after {steps:3d} steps the heading is off by {median_error(steps):4.1f} degrees (median)")

# %%
# Does a unit's place on the ring say which heading it prefers? The preferred heading of a unit is the direction of
# its mean activity over all headings. A circular correlation of 1 would mean that place and preference agree up to a
# rotation or a reflection of the ring. Units that are hardly active have no preference and are left out.

with torch.no_grad():
    turns, headings = walks(STEPS, 1000)
    states = net(turns, headings[0])[1].flatten(0, 1)
    compass = direction(headings[1:].flatten())
    preferred = torch.atan2(*(states.T @ compass).T.flip(0))
    awake = states.std(0) > 0.1 * states.std(0).max()
places = moduli.points.detach()[:, 0]
agreement = riemod.topology.circular_correlation(places[awake], preferred[awake])
print(
    f"{int(awake.sum())} of {UNITS} units are active; their places agree with their preferred headings: {agreement:.2f}"
)

# %%
# The picture
# -----------
# Left: the weights in the order of the ring. Middle: the mean weight by distance on the ring (black), and its two
# parts. Right: the activity on one walk of 100 steps, five times as long as in training, with the units in the order
# of the ring, each divided by its peak, and the true heading on top. The ring of the units has no north of its own,
# so the heading is turned and mirrored once to fit the ring.

order = places.argsort()
order = order[awake[order]]
weight = net.rnn.weight_hh_l0.detach()

with torch.no_grad():
    turns, headings = walks(100, 1)
    bump = net(turns, headings[0])[1][:, 0] / states.amax(0)
mirror = max((1, -1), key=lambda sign: torch.exp(1j * (places - sign * preferred))[awake].mean().abs().item())
shift = torch.exp(1j * (places - mirror * preferred))[awake].mean().angle()
truth = (mirror * headings[1:, 0] + shift).remainder(2 * torch.pi).rad2deg()
truth[1:][(truth[1:] - truth[:-1]).abs() > 180] = torch.nan  # no line across the cut of the ring

figure, (left, middle, right) = plt.subplots(1, 3, figsize=(12, 3.8), width_ratios=(1, 1, 1.35), layout="constrained")
limit = weight.abs().quantile(0.995).item()
image = left.imshow(weight[order][:, order], cmap="RdBu_r", vmin=-limit, vmax=limit)
figure.colorbar(image, ax=left, label="weight", shrink=0.85)
left.set(xlabel="source unit, in the order of the ring", ylabel="target unit", title="Weights", xticks=[], yticks=[])

chosen = awake.nonzero()[:, 0]
distances = ring.distance(places[chosen, None], places[chosen, None])
plotting.plot_weights_by_distance(weight[chosen][:, chosen], distances, ax=middle)
middle.set(xlabel="distance on the ring, rad", title="Near excites, far inhibits")

edges = places[order].rad2deg()
mesh = right.pcolormesh(range(1, 101), edges, bump[:, order].T, cmap="Greys", shading="nearest", rasterized=True)
figure.colorbar(mesh, ax=right, label="activity / peak", shrink=0.85)
line = right.plot(range(1, 101), truth, color="#D55E00", linewidth=2.5, label="true heading")[0]
line.set_path_effects([patheffects.withStroke(linewidth=4.5, foreground="white")])
right.set(
    xlabel="step", ylabel="place on the ring, degrees", title="The bump follows the heading", yticks=range(0, 361, 90)
)
right.legend(loc="upper right", framealpha=1)
plt.show()
