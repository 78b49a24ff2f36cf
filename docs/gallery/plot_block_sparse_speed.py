"""
A pruned net that runs faster
=============================

Pruning sets weights to zero, and a processor multiplies zeros as slowly as anything else. It helps to store only the
weights that are left: one by one with their places, or in whole blocks, which need few places. Geometry offers the
blocks: neurons that are near on the manifold form a group, and the weights between two groups are a block.

The times below are those of the machine that built this page, with one thread; yours will differ.
"""

import matplotlib.pyplot as plt
import numpy as np
import torch

import riemod
from riemod import manifolds, plotting, sparse

torch.set_num_threads(1)
torch.manual_seed(0)

# %%
# Prune whole blocks
# ------------------
# A layer of 1,024 neurons on a torus loses 90 % of its hidden weights, in blocks of 32 by 32. The layer is not
# trained: how fast it runs does not depend on the values of its weights. (So the penalty is never computed, and no
# kernel is compiled for it.)

UNITS, BLOCK = 1024, 32
rnn = torch.nn.RNN(16, UNITS, nonlinearity="relu").eval()
moduli = riemod.ModuliRegularizer(rnn, manifolds.Torus(2), generator=torch.Generator().manual_seed(0))
pruner = riemod.MagnitudePruner(rnn, targets=["weight_hh_l0"], blocks=BLOCK, order=moduli)
pruner.prune(0.9)
before = rnn.weight_hh_l0.detach().clone()

# %%
# The blocks are there, but scattered: neurons are stored in a random order. ``order_neurons`` walks through the torus
# along a curve, and ``permute_neurons`` stores them in that order. The function that the net computes stays the same.

steps = torch.randn(20, 32, 16)
with torch.no_grad():
    expected = rnn(steps)[0]
    sparse.permute_neurons(rnn, order := sparse.order_neurons(moduli), moduli=moduli)
    assert torch.allclose(rnn(steps)[0], expected[..., order], atol=1e-5)
for name, weight in (("before", before), ("after", rnn.weight_hh_l0.detach())):
    print(
        f"{name:6s} ordering, {sparse.block_occupancy(weight, BLOCK):4.0%} of the {BLOCK} x {BLOCK} tiles hold a weight"
    )

# %%
# Time the layouts
# ----------------
# ``compress`` copies the layer into a layout: every single weight with its column (``csr``), or whole blocks. All are
# timed in turn, round by round, on the same 32 sequences of 20 steps. Which layout wins depends on the size, the
# batch and the machine, so ``compress(rnn, example_input=steps)`` measures and takes the fastest.

layers = {"dense": rnn}
layers |= {layout: sparse.compress(rnn, layout=layout) for layout in ("csr", "block32")}
with torch.no_grad():
    for layer in layers.values():
        torch.testing.assert_close(layer(steps)[0], rnn(steps)[0], rtol=1e-4, atol=1e-5)
    runs = {name: (lambda layer=layer: layer(steps)) for name, layer in layers.items()}
    seconds = sparse.paired_seconds(runs, torch.device("cpu"), 9)
for name, times in seconds.items():
    faster = np.median(np.array(seconds["dense"]) / np.array(times))
    print(f"{name:8s} {1e3 * np.median(times):6.1f} ms, {faster:4.1f} times as fast as dense")

# %%
# The picture
# -----------
# Left: the kept weights in the order of the neurons as they were. Middle: the same weights in the order of the torus:
# the blocks have come together. Right: the times, a dot for each round, with bars at the medians.

figure, (left, middle, right) = plt.subplots(1, 3, figsize=(13, 4.2), layout="constrained")
after = rnn.weight_hh_l0.detach()
for ax, weight, title in ((left, before, "As stored at first"), (middle, after, "In the order of the torus")):
    ax.imshow(weight != 0, cmap="Greys", interpolation="none")
    ax.set(title=title, xlabel="source neuron", ylabel="target neuron", xticks=[0, 512, 1023], yticks=[0, 512, 1023])
plotting.plot_paired_times(seconds, ax=right)
right.set_title("20 steps of 32 sequences")
plt.show()
