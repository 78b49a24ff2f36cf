"""
Toroidal coordinates of grid cells
==================================

A grid cell fires at the corners of a lattice of triangles that covers the floor. Cells of one module share the
lattice and differ by a shift, and shifts of a lattice are the points of a torus. So the activity of a module says at
any time where on that torus the animal is, and two angles should be enough to tell what every cell does.

Here 20 minutes of spikes are simulated, two angles are read off the spikes alone, and a cell that has many fields on
the floor turns out to have one on the torus.

This example needs the extra ``topology`` (``pip install 'riemod[topology]'``). The recording is simulated, so nothing
is downloaded; ``riemod.recordings.load`` reads files of your own.
"""

import matplotlib.pyplot as plt
import numpy as np
import torch

from riemod import manifolds, recordings, tuning
from riemod.topology import CircularCoordinates

# %%
# A recording
# -----------
# Sixty grid cells of one module, with a spacing of 0.6 m, in a box of 1.5 m. ``prepare`` bins the spikes, leaves out
# silent and bursting cells and the times at rest, and reduces the rates to a few principal components.

generator = torch.Generator().manual_seed(0)
recording = recordings.simulate.grid_module(60, 20.0, generator=generator)
prepared = recordings.prepare(recording, generator=generator)
print(f"{len(prepared.units)} cells, {len(prepared.activity):,} bins of {prepared.bin_width} s")

# %%
# Two angles from the spikes
# --------------------------
# The angles are fitted to 2,000 of the bins, then computed for all. Positions are not used.

found = CircularCoordinates(n_coordinates=2, metric="geodesic").fit(prepared.points[prepared.drawn])
angles = found.transform(prepared.points)
print("births and deaths of the two loops:", found.intervals_.round(2).tolist())

# %%
# Maps over the floor and over the torus
# --------------------------------------
# A rate map is the mean rate of a cell in each bin, in spikes per second. Skaggs' information says how many bits a
# spike tells about where the animal is: on the floor, or on the torus. If the two are alike, then the two angles say
# all that the place on the floor says about these cells, though each point of the torus stands for many places.

floor = tuning.regular_bins(manifolds.Euclidean(2), 30, (0.0, 1.5))
torus = tuning.regular_bins(manifolds.Torus(2, period=2 * np.pi), 15)
options = {"seconds": prepared.bin_width}
on_floor = tuning.rate_maps(prepared.activity, torch.from_numpy(prepared.position), floor, smoothing=0.04, **options)
on_torus = tuning.rate_maps(prepared.activity, torch.from_numpy(angles), torus, smoothing=0.35, **options)
scores = tuning.grid_scores(on_floor)
print(f"grid score: median {np.median(scores.score):.2f}; spacing: median {np.median(scores.spacing):.2f} m")
for name, maps in (("floor", on_floor), ("torus", on_torus)):
    bits = tuning.spatial_information(maps)
    print(f"information over the {name}: median {np.median(bits):.2f} bits per spike")

# %%
# The picture
# -----------
# Top: where the animal was, in the color of the first and of the second angle. The stripes are the axes of the
# lattice, seen by the population alone. Bottom: the three cells with the highest grid scores, on the floor and on the
# torus.

cells = np.argsort(scores.score)[-3:]
figure = plt.figure(figsize=(11, 6.4), layout="constrained")
top, bottom = figure.subfigures(2, 1, height_ratios=(1.25, 1))
for k, ax in enumerate(top.subplots(1, 2)):
    dots = ax.scatter(
        *prepared.position.T,
        c=angles[:, k],
        cmap="twilight",
        vmin=0,
        vmax=2 * np.pi,
        s=4,
        linewidths=0,
        rasterized=True,
    )
    ax.set(xlabel="x, m", ylabel="y, m", aspect="equal", title=f"Angle {k + 1}")
    bar = top.colorbar(dots, ax=ax, label="angle, rad", ticks=[0, np.pi, 2 * np.pi])
    bar.ax.set_yticklabels(["0", "π", "2π"])
for index, ax in enumerate(bottom.subplots(1, 6)):
    cell, (maps, side) = cells[index // 2], ((on_floor, 1.5), (on_torus, 2 * np.pi))[index % 2]
    image = maps.rates[cell].reshape(maps.bins.shape).T
    ax.imshow(image, origin="lower", extent=(0, side, 0, side), cmap="viridis", vmin=0)
    ax.set(xticks=[0, side], yticks=[0, side])
    ax.set_title(
        f"{'on the torus' if index % 2 else f'cell {cell}, on the floor'}\npeak {image.max():.0f} /s", fontsize=9
    )
    if index % 2:
        ax.set(xlabel="angle 1, rad", ylabel="angle 2, rad", xticklabels=["0", "2π"], yticklabels=["0", "2π"])
    else:
        ax.set(xlabel="x, m", ylabel="y, m")
    ax.xaxis.labelpad = ax.yaxis.labelpad = -6
plt.show()
