"""
A transformer block whose feed-forward neurons have places
==========================================================

The method was made for recurrent nets, and its authors wish to see it in newer ones. In a transformer most weights
are in the feed-forward part of each block: a layer up, from the width of the stream to the hidden neurons, and a
layer down again. ``chain`` names the two as layers in a row: the hidden neurons in between have one set of points,
and pay for the weights on both sides.

The task is to sort: eight digits come in, and the same digits must come out in order. The block learns it with and
without a price on distance, and is pruned to a fifth of its feed-forward weights.
"""

import matplotlib.pyplot as plt
import torch
from torch import nn

import riemod
from riemod import manifolds

# %%
# A small transformer
# -------------------
# One block of torch's own, 48 channels wide, with 96 feed-forward neurons. Nothing in it is of riemod.

WIDTH, HIDDEN, LENGTH, EPOCHS, BATCHES = 48, 96, 8, 12, 40


class Sorter(nn.Module):
    def __init__(self):
        super().__init__()
        self.embed, self.place = nn.Embedding(10, WIDTH), nn.Parameter(0.1 * torch.randn(LENGTH, WIDTH))
        self.block = nn.TransformerEncoderLayer(WIDTH, 4, HIDDEN, dropout=0.0, batch_first=True)
        self.readout = nn.Linear(WIDTH, 10)

    def forward(self, digits):
        return self.readout(self.block(self.embed(digits) + self.place))


# %%
# The price of a wire
# -------------------
# Channels and hidden neurons lie in a square of one unit, as on a chip, and a weight costs as much as its wire is
# long. The stream that goes in is the stream that comes out, so both ends of the chain have the same points; no
# point is learned. The control pays the same for every weight.

square = manifolds.Euclidean(dim=2, side=1.0)
generator = torch.Generator().manual_seed(0)
channels, hidden = square.sample(WIDTH, generator=generator), square.sample(HIDDEN, generator=generator)
distances = square.distance(hidden, channels)
mean = distances.mean()


def train(law):
    torch.manual_seed(0)
    net = Sorter()
    chain = riemod.chain(net.block.linear1, net.block.linear2)
    moduli = riemod.ModuliRegularizer(chain, square, inhibitor=law, strength=3.0, points=[channels, hidden, channels])
    schedule = riemod.CubicSchedule(final=0.8, epochs=EPOCHS, tail=3)
    pruner = riemod.MagnitudePruner(
        net, schedule, targets=["block.linear1.weight", "block.linear2.weight"], scope="tensor"
    )
    optimizer = riemod.optim.riemannian_adam(net, moduli, lr=3e-3)
    draws = torch.Generator().manual_seed(1)
    for epoch in range(EPOCHS):
        pruner.start_epoch(epoch)
        for _ in range(BATCHES):
            digits = torch.randint(0, 10, (128, LENGTH), generator=draws)
            wanted = digits.sort(dim=1).values
            loss = nn.functional.cross_entropy(net(digits).flatten(0, 1), wanted.flatten()) + moduli()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    digits = torch.randint(0, 10, (2000, LENGTH), generator=draws)
    with torch.no_grad():
        right = net(digits).argmax(-1) == digits.sort(dim=1).values
    return net, right.float().mean().item()


laws = {"the same price for all": torch.ones_like, "price by distance": lambda distance: distance / mean}
nets = {}
for name, law in laws.items():
    net, right = train(law)
    up, down = (layer.weight.detach() for layer in (net.block.linear1, net.block.linear2))
    kept = torch.cat([distances[up != 0], distances.T[down != 0]])
    nets[name] = up, right, kept
    print(f"{name:23s} {right:.1%} of the digits in place, {len(kept)} wires of mean length {kept.mean():.3f}")
print(f"all possible wires have a mean length of {mean:.3f}")

# %%
# One net each, of one seed.
#
# The picture
# -----------
# The wires of the layer up that pruning left, from channels (squares) to feed-forward neurons (dots), under either
# price; and the lengths of all wires that are left. Both nets have as many.

figure, axes = plt.subplots(1, 3, figsize=(13.5, 4.5), layout="constrained")
for ax, (name, (up, right, _)) in zip(axes, nets.items(), strict=False):
    for target, source in (up != 0).nonzero().tolist():
        ax.plot(*torch.stack([channels[source], hidden[target]]).T, color="0.5", linewidth=0.4, alpha=0.6, zorder=1)
    ax.scatter(*channels.T, marker="s", s=22, color="#D55E00", zorder=2, label="channel of the stream")
    ax.scatter(*hidden.T, s=14, color="#0072B2", zorder=2, label="feed-forward neuron")
    ax.set(aspect="equal", title=f"{name}: {right:.1%} right", xticks=[], yticks=[])
axes[0].legend(loc="upper left", bbox_to_anchor=(0, 0), ncols=2, frameon=False)
edges = torch.linspace(0, 1.42, 30).tolist()
styles = {"the same price for all": ("0.5", "-"), "price by distance": ("#0072B2", "-")}
for name, (color, line) in styles.items():
    axes[2].hist(nets[name][2], edges, histtype="step", color=color, linestyle=line, linewidth=1.8, label=name)
axes[2].set(
    xlabel="length of a wire, sides of the square", ylabel="wires that are left", title="Both have as many wires"
)
axes[2].legend()
plt.show()
