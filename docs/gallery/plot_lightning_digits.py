"""
A digits classifier with Lightning
==================================

Lightning owns the training loop, so where does the penalty go? Into a callback: ``ModuliCallback`` adds the penalty's
gradients, lets the pruner take its part at each epoch, and logs both. The model stays an ordinary
``LightningModule``.

A GRU reads a handwritten digit row by row, as a sequence of eight rows of eight pixels. Its neurons live on a sphere,
and nine tenths of all weights are pruned on the way.

This example needs the extras ``lightning`` and ``topology`` (for scikit-learn, which brings the digits).
"""

import logging
import tempfile
import warnings

import lightning
import matplotlib.pyplot as plt
import torch
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

import riemod
from riemod import inhibitors, manifolds, plotting
from riemod.integrations.lightning import ModuliCallback

# %%
# The data
# --------
# 1,797 digits of 8 by 8 pixels, a third of them held out.

images, labels = load_digits(return_X_y=True)
images, labels = torch.tensor(images, dtype=torch.float32).reshape(-1, 8, 8) / 16, torch.tensor(labels)
train_x, test_x, train_y, test_y = train_test_split(images, labels, test_size=1 / 3, random_state=0, stratify=labels)

# %%
# The model
# ---------
# Only the lines with ``riemod`` are new. The loss is the task's alone: the callback adds the penalty.

sphere = manifolds.Sphere(dim=2, radius=1.0)


class Reader(lightning.LightningModule):
    def __init__(self):
        super().__init__()
        self.rnn, self.readout = nn.GRU(8, 64, batch_first=True), nn.Linear(64, 10)
        law = inhibitors.Signed.mexican_hat(sphere)
        self.moduli = riemod.ModuliRegularizer(self.rnn, sphere, inhibitor=law, strength=0.3, learn=True)
        self.history = []

    def forward(self, rows):
        return self.readout(self.rnn(rows)[0][:, -1])

    def training_step(self, batch):
        rows, digit = batch
        return nn.functional.cross_entropy(self(rows), digit)

    def on_train_epoch_end(self):
        with torch.no_grad():
            accuracy = (self(test_x).argmax(1) == test_y).float().mean().item()
        self.history.append((accuracy, pruner.sparsity()["total"]))

    def configure_optimizers(self):
        return riemod.optim.riemannian_adam(self, self.moduli, lr=5e-3, embedding_lr=0.05)


# %%
# Train
# -----

EPOCHS = 30
logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
lightning.seed_everything(0, verbose=False)
model = Reader()
targets = ["rnn.weight_hh_l0", "rnn.weight_ih_l0", "readout.weight"]
schedule = riemod.CubicSchedule(final=0.9, epochs=EPOCHS, tail=8)
pruner = riemod.MagnitudePruner(model, schedule, targets=targets)
batches = DataLoader(TensorDataset(train_x, train_y), batch_size=64, shuffle=True)
with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
    warnings.simplefilter("ignore")  # of Lightning, about few workers and no logger
    trainer = lightning.Trainer(
        max_epochs=EPOCHS,
        accelerator="cpu",
        callbacks=[ModuliCallback(model.moduli, pruner)],
        default_root_dir=folder,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    trainer.fit(model, batches)
accuracies, sparsities = zip(*model.history, strict=True)
print(f"accuracy {accuracies[-1]:.1%} on held-out digits, with {sparsities[-1]:.0%} of the weights pruned")

# %%
# Which neurons are joined?
# -------------------------
# The law of this net is signed: excitation is cheap between near neurons, and inhibition between far ones. The three
# gates of the GRU share the points of the neurons, so their kept weights are counted together.

gates = model.rnn.weight_hh_l0.detach().unflatten(0, (3, 64))
points = model.moduli.points.detach()
distances = sphere.distance(points, points)
for sign, word in ((1, "excite"), (-1, "inhibit")):
    lengths = distances.expand_as(gates)[gates * sign > 0]
    print(f"{len(lengths)} kept weights {word}, over a mean distance of {lengths.mean():.2f} rad (1.57 is no order)")

# %%
# One net, of one seed.
#
# The picture
# -----------
# Left: accuracy on held-out digits, and the share of weights that are zero, after each epoch. Middle: the neuron with
# the most excitation on its sphere, drawn as two discs, with the neurons that it excites or is excited by. Right: the
# mean weight of all pairs by distance, and its two parts.

figure = plt.figure(figsize=(14, 4.2), layout="constrained")
grid = figure.add_gridspec(2, 3, width_ratios=(1, 1.5, 1.1))
upper, lower = figure.add_subplot(grid[0, 0]), figure.add_subplot(grid[1, 0])
middle, right = figure.add_subplot(grid[:, 1]), figure.add_subplot(grid[:, 2])
epochs = range(1, EPOCHS + 1)
upper.plot(epochs, [100 * a for a in accuracies], color="#0072B2")
upper.set(ylabel="accuracy, %", ylim=(0, 102), xticklabels=[])
lower.step(epochs, [100 * s for s in sparsities], color="#D55E00", where="mid")
lower.set(xlabel="epoch", ylabel="pruned, %", ylim=(0, 102))

excites = (gates > 0).any(0)
partners = (excites | excites.T).fill_diagonal_(False)
neuron = int(partners.sum(0).argmax())
plotting.plot_joined_neurons(points, sphere, neuron, partners[neuron].nonzero()[:, 0], ax=middle)
middle.set_title(f"Neuron {neuron} (star) and its {int(partners[neuron].sum())} excitatory partners")
plotting.plot_weights_by_distance(gates.sum(0), distances, ax=right)
right.set(xlabel="distance on the sphere, rad", title="Near excites, far inhibits")
plt.show()
