"""
A language model, pruned and shipped
====================================

A character-level language model reads Python's own help pages, loses nine tenths of its weights, and leaves PyTorch
as an ONNX file. Two questions: how well does the rest predict, and does the file say the same as the net?

This example needs the extra ``onnx`` (``pip install 'riemod[onnx]'``). The text comes with Python: no download.
"""

import io
import logging
import tempfile
import warnings
import zipfile
from pathlib import Path
from pydoc_data.topics import topics

import matplotlib.pyplot as plt
import numpy as np
import onnxruntime
import torch
from torch import nn

import riemod
from riemod import inhibitors, manifolds

# %%
# The text
# --------
# The topics that ``help()`` shows, in lower case. The last tenth is held out.

text = "".join(topics[name] for name in sorted(topics)).lower()
letters = "abcdefghijklmnopqrstuvwxyz0123456789 \n.,;:()[]'\"_-=*<>`"
text = "".join(c for c in text if c in letters)
codes = torch.tensor([letters.index(c) for c in text])
train_codes, test_codes = codes.split([len(codes) * 9 // 10, len(codes) - len(codes) * 9 // 10])
print(f"{len(text):,} characters of {len(letters)} kinds; a guess costs {np.log2(len(letters)):.2f} bits per character")

# %%
# The net
# -------
# A GRU of 100 neurons. They live on a torus, and a signed law makes its weights pay by distance.

UNITS, EPOCHS, BATCHES, STEPS = 100, 14, 50, 40


class Writer(nn.Module):
    def __init__(self):
        super().__init__()
        self.embed, self.rnn = nn.Embedding(len(letters), 24), nn.GRU(24, UNITS)
        self.readout = nn.Linear(UNITS, len(letters))

    def forward(self, codes, state):
        states, state = self.rnn(self.embed(codes), state)
        return self.readout(states), state


def cost_in_bits(net, codes):
    """Return the mean bits per character, of columns of characters (steps + 1, batch)."""
    scores, _ = net(codes[:-1], torch.zeros(1, codes.shape[1], UNITS))
    return nn.functional.cross_entropy(scores.flatten(0, 1), codes[1:].flatten()) / np.log(2)


torch.manual_seed(0)
generator = torch.Generator().manual_seed(0)
net = Writer()
torus = manifolds.Torus(dim=2, period=10.0)
law = inhibitors.Signed.mexican_hat(torus)
moduli = riemod.ModuliRegularizer(net.rnn, torus, inhibitor=law, strength=0.1, generator=generator)
targets = ["rnn.weight_hh_l0", "rnn.weight_ih_l0", "readout.weight"]
pruner = riemod.MagnitudePruner(net, riemod.CubicSchedule(final=0.9, epochs=EPOCHS, tail=3), targets=targets)
optimizer = riemod.optim.riemannian_adam(net, moduli, lr=6e-3)
held_out = test_codes[: 50 * 201].view(50, 201).T
course = []
for epoch in range(EPOCHS):
    pruner.start_epoch(epoch)
    for _ in range(BATCHES):
        starts = torch.randint(len(train_codes) - STEPS, (48,), generator=generator)
        columns = train_codes[starts + torch.arange(STEPS + 1)[:, None]]
        optimizer.zero_grad()
        (cost_in_bits(net, columns) + moduli()).backward()
        nn.utils.clip_grad_norm_(net.parameters(), 1.0)
        optimizer.step()
    with torch.no_grad():
        course.append((pruner.sparsity()["total"], cost_in_bits(net, held_out).item()))
print(f"{course[-1][0]:.0%} of the weights pruned, {course[-1][1]:.2f} bits per character on held-out text")

# %%
# Ship it
# -------
# The pruned net goes to ONNX as it is: zeros are numbers. In memory they take as much room as others, but in a zip
# file they take almost none. ONNX Runtime then computes what PyTorch does, without PyTorch and without riemod.

net.eval()
one, state = torch.zeros(1, 1, dtype=torch.long), torch.zeros(1, 1, UNITS)
file = Path(tempfile.mkdtemp()) / "writer.onnx"
with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # of the exporter, about its own future
    logging.disable(logging.WARNING)
    torch.onnx.export(
        net, (one, state), file, input_names=["code", "state"], output_names=["scores", "next"], dynamo=False
    )
session = onnxruntime.InferenceSession(file, providers=["CPUExecutionProvider"])


def zipped(data):
    with io.BytesIO() as buffer:
        with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr("model", data)
        return len(buffer.getvalue())


data = file.read_bytes()
print(f"the file has {len(data) / 1e3:.0f} kB, and {zipped(data) / 1e3:.0f} kB as a zip file")

# %%
# Does it say the same, and what does it write? Each next character is drawn from the scores of ONNX Runtime, at a
# temperature of 0.7.

draws = np.random.default_rng(0)
code, memory, written, worst = letters.index("t"), np.zeros((1, 1, UNITS), np.float32), "t", 0.0
torch_state, course_of_scores = state, []
for _ in range(300):
    scores, memory = session.run(None, {"code": np.array([[code]]), "state": memory})
    with torch.no_grad():
        expected, torch_state = net(torch.tensor([[code]]), torch_state)
    worst = max(worst, np.abs(scores - expected.numpy()).max())
    share = np.exp((scores[0, 0] - scores.max()) / 0.7)
    course_of_scores.append(share / share.sum())
    code = int(draws.choice(len(letters), p=share.astype(float) / share.astype(float).sum()))
    written += letters[code]
print(f"largest difference of 300 steps between ONNX Runtime and PyTorch: {worst:.1e}")
print(written)

# %%
# The picture
# -----------
# Left: bits per character on held-out text after each epoch, against the share of weights that are zero by then; one
# net, of one seed. It is best with about 70 % of the weights gone; from there on pruning takes more than these last
# epochs give. Right: what ONNX Runtime expects while it writes, at the temperature 0.7 of the draws. Each column is a
# step, dark where a character is likely; the dots are the characters that were drawn, as far as they have a row.

figure, (left, right) = plt.subplots(1, 2, figsize=(13.5, 4.8), width_ratios=(1, 2.3), layout="constrained")
pruned, bits = np.array(course).T
left.plot(100 * pruned, bits, "-o", color="#0072B2", markersize=5)
left.annotate("first epoch", (100 * pruned[0], bits[0]), (8, -3), textcoords="offset points", color="0.3")
left.annotate("last", (100 * pruned[-1], bits[-1]), (8, -4), textcoords="offset points", color="0.3")
left.set(
    xlim=(-5, 108),
    xlabel="weights pruned, %",
    ylabel="bits per character, held-out text",
    title="Learning while being pruned",
)

shown = slice(1, 61)
rows = [letters.index(c) for c in "abcdefghijklmnopqrstuvwxyz \n.,()'\"_"]
image = np.array(course_of_scores)[:, rows].T[:, shown]
mesh = right.imshow(image, cmap="Greys", vmin=0, vmax=1, aspect="auto", interpolation="none")
places = {code: row for row, code in enumerate(rows)}
drawn = [(step, places.get(letters.index(c))) for step, c in enumerate(written[1:][shown])]
right.scatter(*zip(*[(step, row) for step, row in drawn if row is not None], strict=True), s=14, color="#D55E00")
names = {" ": "space", "\n": "line end"}
right.set_yticks(range(len(rows)), [names.get(letters[code], letters[code]) for code in rows], fontsize=7)
right.set_xticks(range(60), [c if c not in " \n" else "" for c in written[1:][shown]], fontsize=8)
right.tick_params(axis="x", length=0)
right.set(xlabel="what it writes", ylabel="next character", title="What the exported net expects")
figure.colorbar(mesh, ax=right, label="probability of the draw")
plt.show()
