"""
A torus, found from hidden states
=================================

A recurrent net walks on a world that wraps around: who leaves on the right comes in on the left, who leaves at the
top comes in at the bottom. The net sees steps and must say which of 40 places are near. The torus is in neither its
inputs nor the coordinates of its outputs. Is it in its hidden states? ``ModuliRecovery`` counts their holes, compares
them with those of null data, and names a manifold only if nothing speaks against it.

This example needs the extra ``topology`` (``pip install 'riemod[topology]'``).
"""

import matplotlib.pyplot as plt
import torch
from torch import nn

from riemod import manifolds, plotting
from riemod.topology import CircularCoordinates, ModuliRecovery, circular_correlation

# %%
# A net that walks on a torus
# ---------------------------
# The world is a torus of 1 m by 1 m. Around each of 40 landmarks a place cell fires with a width of 0.2 m. The net is
# told the rates at the start and the steps that follow, in m; it must say the rates after each step. Each walk ends
# with a rest of four steps, for a state in motion also holds the last step, and that is not a place.

generator = torch.Generator().manual_seed(0)
world = manifolds.Torus(dim=2, period=1.0)
landmarks = world.sample(40, generator=generator)
UNITS, REST = 100, 4


def rates(positions):
    """Return the rates (..., 40) of the place cells at positions (..., 2)."""
    flat = world.distance(positions.reshape(-1, 2), landmarks)
    return torch.exp(-flat.square() / (2 * 0.2**2)).reshape(*positions.shape[:-1], 40)


def walks(steps, count):
    moves = 0.07 * torch.randn(steps, count, 2, generator=generator)
    moves[steps - REST :] = 0
    start = world.sample(count, generator=generator)
    return moves, torch.cat([start[None], start + moves.cumsum(0)]).remainder(1.0).clamp(max=1 - 1e-6)


class Walker(nn.Module):
    def __init__(self):
        super().__init__()
        self.start, self.readout = nn.Linear(40, UNITS), nn.Linear(UNITS, 40)
        self.rnn = nn.RNN(2, UNITS, nonlinearity="relu")

    def forward(self, moves, position):
        states, _ = self.rnn(moves, self.start(rates(position)).relu()[None])
        return self.readout(states), states


torch.manual_seed(0)
net = Walker()
optimizer = torch.optim.AdamW(net.parameters(), lr=2e-3, weight_decay=1e-2)
schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, 1500)
for _ in range(1500):
    moves, positions = walks(12, 100)
    loss = (net(moves, positions[0])[0] - rates(positions[1:])).square().mean()
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    schedule.step()

with torch.no_grad():
    moves, positions = walks(12, 1000)
    said, hidden = net(moves, positions[0])
    truth = rates(positions[1:])
explained = 1 - (said - truth).square().mean() / truth.var()
print(f"the net explains {explained:.1%} of the variance of the rates")

# %%
# Which manifold do its states fill?
# ----------------------------------
# Only the hidden states at the end of 1,000 walks go in. The verdict rests on persistent homology: a torus has two
# loops that cannot be pulled tight, and it encloses one void. A loop counts if it is longer than those of 39 null
# data sets of each of three kinds. That is the smallest number that can give p = 0.05 in two degrees at once; the
# default of 100 takes longer.

states, places = hidden[-1].numpy(), positions[-1]
recovery = ModuliRecovery(n_nulls=39, n_jobs=1).fit(states)
print(recovery.report())

# %%
# Coordinates on it
# -----------------
# Two loops give two angles for each state. Nothing ties them to the axes of the world: they may be rotated, mirrored,
# or wind around the world diagonally. So each is compared with every small integer combination of the world's two
# angles.

angles = CircularCoordinates(n_coordinates=2, metric="geodesic").fit_transform(states)
x, y = (2 * torch.pi * places).T.numpy()
found = []
for k in (0, 1):
    fits = {(a, b): circular_correlation(angles[:, k], a * x + b * y) for a in (0, 1) for b in (-1, 0, 1) if a or b > 0}
    (a, b), fit = max(fits.items(), key=lambda item: item[1])
    found.append(a * x + b * y)
    print(f"angle {k + 1} agrees with {a} x {b:+d} y: circular correlation {fit:.2f}")

# %%
# The picture
# -----------
# From the left: the world, with each place in its own color; the hidden states on their first two principal
# components, each in the color of the place where the net was; the longest bars, whose gray part is what null data
# reach; and a recovered angle against the true one.

colors = plotting.torus_colors(2 * torch.pi * places.numpy())
figure, axes = plt.subplots(1, 4, figsize=(14, 3.6), layout="constrained")
plotting.plot_torus_key(1.0, ax=axes[0])
axes[0].set_title("The world")
plotting.plot_states(states, colors, ax=axes[1])
axes[1].set_title("Hidden states")
plotting.plot_barcode(recovery.bars_.diagrams[2], recovery.floors_, ax=axes[2])
axes[2].set_title(f"Verdict: {recovery.manifold_}")
plotting.plot_angles(angles[:, 0], found[0], ax=axes[3])
axes[3].set_title("A recovered angle")
plt.show()
