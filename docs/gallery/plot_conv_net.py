"""
A convolutional net whose channels live on a ring
=================================================

Not only recurrent nets have neurons with a place. In a convolutional net the channels can have one: the price of a
kernel slice, from channel to channel, is the distance of the two channels times the slice's norm. Along a ``chain``
of layers, what is the output of one layer and the input of the next has one set of points.

On handwritten digits this buys locality: channels talk to near channels. Does the net pay for it in accuracy? The
control pays the same mean price for every pair of channels, wherever they lie.

This example needs the extra ``topology``, for scikit-learn, which brings the digits: nothing is downloaded.
"""

import matplotlib.pyplot as plt
import torch
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split
from torch import nn

import riemod
from riemod import manifolds

# %%
# The data and the net
# --------------------
# 1,797 digits of 8 by 8 pixels, a third of them held out.

images, labels = load_digits(return_X_y=True)
images = torch.tensor(images, dtype=torch.float32).reshape(-1, 1, 8, 8) / 16
split = train_test_split(images, torch.tensor(labels), test_size=1 / 3, random_state=0, stratify=labels)
train_x, test_x, train_y, test_y = split


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.first = nn.Conv2d(1, 32, 3, padding=1)
        self.second = nn.Conv2d(32, 32, 3, padding=1)
        self.third = nn.Conv2d(32, 32, 3, padding=1)
        self.readout = nn.Linear(32 * 4, 10)

    def forward(self, x):
        x = nn.functional.max_pool2d(self.first(x).relu(), 2)
        x = nn.functional.max_pool2d(self.third(self.second(x).relu()).relu(), 2)
        return self.readout(x.flatten(1))


# %%
# Train, prune, and look
# ----------------------
# The channels of the three layers in the chain lie evenly on a ring of length 1. The price grows with distance, so
# points that could move would all run together; they are fixed. A law is any function of the distance: the control's
# is 1 everywhere, which is also the mean of the other. Nine tenths of the weights of the two inner layers are pruned.

ring = manifolds.Torus(dim=1, period=1.0)
even = torch.arange(32)[:, None] / 32
EPOCHS = 20


def train(strength, law):
    torch.manual_seed(0)
    net = Net()
    moduli = riemod.ModuliRegularizer(
        riemod.chain(net.second, net.third),
        ring,
        inhibitor=law,
        strength=strength,
        points=[even] * 3,
    )
    schedule = riemod.CubicSchedule(final=0.9, epochs=EPOCHS, tail=5)
    pruner = riemod.MagnitudePruner(net, schedule, targets=["second.weight", "third.weight"], scope="tensor")
    optimizer = riemod.optim.riemannian_adam(net, moduli, lr=3e-3)
    for epoch in range(EPOCHS):
        pruner.start_epoch(epoch)
        for rows in torch.randperm(len(train_x)).split(100):
            loss = nn.functional.cross_entropy(net(train_x[rows]), train_y[rows]) + moduli()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    with torch.no_grad():
        accuracy = (net(test_x).argmax(1) == test_y).float().mean().item()
    return net, accuracy


arms = {
    "no price": (0.0, torch.ones_like),
    "the same price for all": (1.0, torch.ones_like),
    "price by distance": (1.0, lambda distance: distance / 0.25),
}
nets = {}
distances = ring.distance(even, even)
for name, (strength, law) in arms.items():
    net, accuracy = train(strength, law)
    norms = net.second.weight.detach().flatten(2).norm(dim=-1)
    length = ((norms * distances).sum() / norms.sum()).item()
    nets[name] = norms, accuracy, length
    print(f"{name:23s} accuracy {accuracy:.1%}, mean length of a connection {length:.3f} (0.25 is no order)")

# %%
# One net each, of one seed: differences of a percent in accuracy mean nothing here, as 599 test images have a
# standard error of more than half a percent. The lengths differ by far more than that.
#
# The picture
# -----------
# The norms of the kernel slices of the second layer, each net's divided by its largest. Rows and columns are in the
# order of the ring, which closes: the corners are near the diagonal too.

figure, axes = plt.subplots(1, 3, figsize=(11.5, 4.2), layout="constrained")
for ax, (name, (norms, accuracy, length)) in zip(axes, nets.items(), strict=True):
    shown = ax.imshow(norms / norms.max(), cmap="Greys", vmin=0, vmax=1)
    ax.set(title=f"{name}\naccuracy {accuracy:.1%}, mean length {length:.2f}", xticks=[0, 16, 31], yticks=[0, 16, 31])
    ax.set_xlabel("channel in")
axes[0].set_ylabel("channel out")
figure.colorbar(shown, ax=axes, label="norm of the slice / largest", shrink=0.85)
plt.show()
