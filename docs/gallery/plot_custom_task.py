"""
Your own task: a memory that is a cube
======================================

The training loop of ``riemod train`` takes any task: a configuration, a model, batches, a loss, metrics, and the
levels to read them against. Here is the *flip-flop* memory. Three channels send a pulse, +1 or -1, now and then, and
the net must say for each channel what its last pulse was. There are eight things to remember. Where does the net keep
them? At the corners of a cube.
"""

import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import matplotlib.pyplot as plt
import torch
from torch import nn

from riemod import tasks, training
from riemod.tasks import config

# %%
# The configuration
# -----------------
# A frozen dataclass with the numbers of the task. The groups for training, optimization, regularization and so on
# come with ``RunConfig``. A task has one preset at least, of the name ``smoke``: its numbers for a quick run.


@dataclass(frozen=True, kw_only=True)
class FlipFlopConfig(tasks.RunConfig):
    hidden_size: int = 64
    steps: int = 25
    pulse_probability: float = 0.15


smoke = FlipFlopConfig(
    preset="smoke",
    training=config.Training(epochs=10, batches_per_epoch=60, batch_size=64, tail_epochs=2, evaluation_batches=10),
    optimization=config.Optimization(learning_rate=5e-3),
)


class FlipFlopModel(nn.Module):
    def __init__(self, hidden_size):
        super().__init__()
        self.rnn, self.decoder = nn.GRU(3, hidden_size), nn.Linear(hidden_size, 3)

    def forward(self, pulses):
        states, _ = self.rnn(pulses)
        return self.decoder(states), states


# %%
# The task
# --------
# Every draw comes from the generator that the loop hands in: so a run goes on after a crash to the same bits.


class FlipFlop(tasks.Task[FlipFlopConfig]):
    name = "flipflop"
    primary_metric = "wrong"
    units: ClassVar[dict[str, str]] = {"loss": "1", "wrong": "fraction"}
    presets: ClassVar[dict[str, tasks.RunConfig]] = {"smoke": smoke}

    def build_model(self):
        return FlipFlopModel(self.config.hidden_size)

    def hidden_units(self, model):
        # The layer, the maps that write to its units besides its own (none), and those that read them.
        return [tasks.HiddenUnits(model.rnn, (), (model.decoder,))]

    def batches(self, generator, count):
        shape = self.config.steps, self.config.training.batch_size, 3
        for _ in range(count):
            signs = torch.randint(0, 2, shape, generator=generator, device=self.device).mul(2.0).sub(1)
            sent = torch.rand(shape, generator=generator, device=self.device) < self.config.pulse_probability
            sent[0] = True
            # The step of the last pulse: the running maximum of the steps at which there was one.
            last = torch.where(sent, torch.arange(shape[0], device=self.device)[:, None, None], 0).cummax(0).values
            yield signs * sent, signs.gather(0, last)

    def loss(self, model, batch):
        pulses, wanted = batch
        return nn.functional.mse_loss(model(pulses)[0], wanted)

    @torch.no_grad()
    def evaluate(self, model, generator, batches):
        losses, wrong = [], []
        for pulses, wanted in self.batches(generator, batches):
            said = model(pulses)[0]
            losses.append((said - wanted).square().mean())
            wrong.append((said.sign() != wanted).float().mean())
        return {"loss": torch.stack(losses).mean().item(), "wrong": torch.stack(wrong).mean().item()}

    def reference_levels(self, generator):
        return {"wrong of a perfect net": 0.0, "wrong of a guess": 0.5}


# %%
# Train it
# --------
# An entry in ``TASKS`` makes the name known. Then everything works as for the tasks that riemod has: pruning, the
# penalty, checkpoints and the record.

tasks.TASKS["flipflop"] = FlipFlop
with tempfile.TemporaryDirectory() as folder:
    run = training.start(training.RunFolder(Path(folder)), training.RunDescription("flipflop", smoke))
    record = training.train(run)
print(f"wrong: {record['metrics']['wrong']['value']:.2%} of the answers; a guess is wrong in 50 %")

# %%
# Where is the memory?
# --------------------
# On fresh data, the hidden states on their first three principal components. Each state is drawn in the color of what
# was to be remembered at the time, and the centers of the eight memories are joined where one channel differs.

with torch.no_grad():
    generator = torch.Generator().manual_seed(1)
    pulses, wanted = next(run.task.batches(generator, 1))
    states = run.model(pulses)[1][1:].flatten(0, 1)
memories = (wanted[1:].flatten(0, 1) > 0).long() @ torch.tensor([1, 2, 4])
states = states - states.mean(0)
_, sizes, axes = torch.linalg.svd(states, full_matrices=False)
share = (sizes[:3].square().sum() / sizes.square().sum()).item()
flat = states @ axes[:3].T
centers = torch.stack([flat[memories == k].mean(0) for k in range(8)])
print(f"three components hold {share:.0%} of the variance of the {states.shape[1]} units")

colors = ["#000000", "#E69F00", "#56B4E9", "#009E73", "#F0E442", "#0072B2", "#D55E00", "#CC79A7"]
figure = plt.figure(figsize=(8.6, 6.2), layout="constrained")
ax = figure.add_subplot(projection="3d", computed_zorder=False)
for a in range(8):
    for b in (a | 1, a | 2, a | 4):
        if a != b:
            ax.plot(*centers[[a, b]].T, color="0.35", linewidth=1.2, zorder=3)
ax.scatter(*flat.T, c=[colors[k] for k in memories], s=9, alpha=0.7, linewidths=0, zorder=2)
for k, center in enumerate(centers):
    sign = " ".join("+" if k >> channel & 1 else "\N{MINUS SIGN}" for channel in range(3))
    ax.scatter(*center, color=colors[k], s=90, edgecolors="black", linewidths=0.8, zorder=4, label=sign)
ax.set(xlabel="component 1", ylabel="component 2", zlabel="component 3")
ax.set_title("Three bits, kept at the corners of a cube", y=0.97)
ax.legend(title="last pulses", loc="center left", bbox_to_anchor=(1.08, 0.5), frameon=False)
ax.view_init(elev=18, azim=-60)
plt.show()
