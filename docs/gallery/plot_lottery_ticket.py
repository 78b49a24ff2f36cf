"""
The ticket that trains
======================

Prune a trained net to a few percent of its weights, forget the weights, and keep only which of them there were. Can
such a skeleton learn the task again from fresh weights? If so, it is a *lottery ticket*: not the numbers matter, but
the graph. ``riemod.lottery_ticket`` draws one, with the points of the neurons held fixed.

And is it the graph that matters? A control says: the same number of weights at random places. Here, in a small net on
an easy task, the answer is sobering. The ticket trains, and so does the random graph.
"""

import matplotlib.pyplot as plt
import numpy as np
import torch
from torch import nn

import riemod
from riemod import inhibitors, manifolds, masks, plotting

# %%
# The task and the net
# --------------------
# The adding problem: of 12 numbers two are marked, and the answer is their sum. Always answering 1 has a root mean
# squared error of 0.41.

STEPS, UNITS, EPOCHS, BATCHES, SPARSITY = 12, 64, 30, 40, 0.93


class Adder(nn.Module):
    def __init__(self):
        super().__init__()
        self.rnn, self.readout = nn.RNN(2, UNITS, nonlinearity="relu"), nn.Linear(UNITS, 1)

    def forward(self, sequence):
        return self.readout(self.rnn(sequence)[0][-1]).squeeze(-1)


def batch(generator, size=64):
    numbers = torch.rand(STEPS, size, generator=generator)
    marks = torch.zeros_like(numbers)
    marks.scatter_(0, torch.rand(STEPS, size, generator=generator).topk(2, dim=0).indices, 1.0)
    return torch.stack([numbers, marks], dim=-1), (numbers * marks).sum(0)


def train(model, moduli, generator, pruner=None):
    """Train, prune if there is a pruner that still has something to do, and return the error after each epoch."""
    optimizer = riemod.optim.riemannian_adam(model, moduli, lr=3e-3)
    held_out, answers = batch(torch.Generator().manual_seed(10_000), 1000)
    errors = []
    for epoch in range(EPOCHS):
        if pruner is not None:
            pruner.start_epoch(epoch)
        for _ in range(BATCHES):
            sequence, total = batch(generator)
            loss = (model(sequence) - total).square().mean()
            if moduli is not None:
                loss = loss + moduli()
            optimizer.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
        with torch.no_grad():
            errors.append((model(held_out) - answers).square().mean().sqrt().item())
    return errors


# %%
# Prune, then start anew
# ----------------------
# The neurons lie on a torus, and weights between far ones cost more. After pruning, the hidden matrix has 7 % of its
# weights. For the random graph each mask is shuffled over its matrix. Everything is done for three seeds.

curves = {"dense, being pruned": [], "ticket": [], "random graph": []}
for seed in range(3):
    torch.manual_seed(seed)
    generator = torch.Generator().manual_seed(seed)
    torus = manifolds.Torus(dim=2, period=10.0)
    model = Adder()
    moduli = riemod.ModuliRegularizer(
        model.rnn, torus, inhibitor=inhibitors.Signed.mexican_hat(torus), strength=0.02, generator=generator
    )
    schedule = riemod.CubicSchedule(final=SPARSITY, epochs=EPOCHS, tail=10)
    pruner = riemod.MagnitudePruner(model, schedule, targets=["rnn.weight_hh_l0"])
    curves["dense, being pruned"].append(train(model, moduli, generator, pruner))

    ticket = riemod.lottery_ticket(model, pruner, moduli, generator=generator)
    curves["ticket"].append(train(ticket.model, ticket.moduli, generator))

    control = riemod.lottery_ticket(model, pruner, moduli, generator=generator)
    mask = masks.find_mask(control.model.rnn, "weight_hh_l0")
    mask.copy_(mask.flatten()[torch.randperm(mask.numel(), generator=generator)].view_as(mask))
    riemod.initialization.sparsity_aware(control.model, generator=generator)
    curves["random graph"].append(train(control.model, control.moduli, generator))
print(f"{pruner.sparsity()['total']:.0%} of the hidden matrix is zero")
for name, errors in curves.items():
    last = np.array(errors)[:, -1]
    print(f"{name:20s} error at the end {last.mean():.3f}, seeds {np.sort(last).round(3).tolist()}")

# %%
# Both sparse nets learn the task, to an error many times smaller than that of always answering 1. The net that was
# dense at first and was pruned slowly ends lower than both. Three seeds do not tell the two graphs apart. The page of
# :doc:`results </results>` has larger nets on harder tasks, with matched controls.
#
# The picture
# -----------
# Left: the hidden matrix of the last ticket after training, with the neurons in the order of the torus. Right: the
# error after each epoch, the median and the range of the seeds. The dense net is pruned along the way, which disturbs
# it little.

figure, (left, right) = plt.subplots(1, 2, figsize=(11, 4.2), width_ratios=(1, 1.5), layout="constrained")
order = plotting.torus_order(moduli.points, torus)
plotting.plot_weight_matrix(ticket.model.rnn.weight_hh_l0.detach(), order, ax=left)
left.set_title("A ticket: the weights that are left")
epochs = np.arange(1, EPOCHS + 1)
styles = {"dense, being pruned": ("black", "-"), "ticket": ("#0072B2", "-"), "random graph": ("#D55E00", "--")}
for name, (color, line) in styles.items():
    errors = np.array(curves[name])
    right.plot(epochs, np.median(errors, 0), line, color=color, label=name)
    right.fill_between(epochs, errors.min(0), errors.max(0), color=color, alpha=0.15, linewidth=0)
right.axhline(6**-0.5, color="0.6", linewidth=0.8)
right.text(EPOCHS, 6**-0.5 * 1.05, "always answering 1", ha="right", color="0.4")
right.set(yscale="log", xlabel="epoch", ylabel="root mean squared error", title="Learning the adding problem")
right.legend(loc="lower left")
plt.show()
