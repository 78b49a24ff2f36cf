"""Figures of nets in training: weights, error against sparsity, and trajectories; and panels saved as PNG files."""

import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
from jaxtyping import Float
from matplotlib.axes import Axes
from matplotlib.colors import LogNorm
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from matplotlib.ticker import LogLocator, NullFormatter, ScalarFormatter
from torch import Tensor

from riemod._arrays import check_array, check_order, check_square, check_tensor
from riemod._checks import (
    check_function,
    check_integer,
    check_mapping,
    check_positive,
    check_text,
    check_type,
    shown,
)
from riemod.plotting._axes import axes_or_new

_LONGEST_NAME = 200

__all__ = [
    "mean_weights_by_distance",
    "plot_error_against_sparsity",
    "plot_paired_times",
    "plot_trajectory",
    "plot_weight_matrix",
    "plot_weights_by_distance",
    "save_panels",
]


def plot_weight_matrix(weight: Tensor, order: np.ndarray | None = None, ax: Axes | None = None) -> Axes:
    """Draw |w_jk| of a recurrent matrix on a logarithmic scale: row j is the target, column k the source, 0 is blank.

    Args:
        weight: (n, n).
        order: (n,), the neurons in the order of rows and columns; their own order if None.
        ax: where to draw.

    Returns:
        The axes.
    """
    magnitude = np.abs(check_square("weight", weight))
    if order is not None:
        order = check_order("order", order, len(magnitude))
        magnitude = magnitude[np.ix_(order, order)]
    ax = axes_or_new(ax)
    kept = magnitude[magnitude > 0]
    if kept.size:
        low, high = np.quantile(kept, 0.02), kept.max()
        size = ax.get_window_extent().width / ax.figure.dpi * 72 / len(magnitude)
        targets, sources = np.nonzero(magnitude)
        marks = ax.scatter(
            sources,
            targets,
            c=magnitude[targets, sources],
            norm=LogNorm(min(low, high * 0.99), high),
            cmap="viridis_r",
            s=max(1.5, 1.6 * size) ** 2,
            marker="s",
            linewidths=0,
        )
        ax.figure.colorbar(marks, ax=ax, label="|w|", shrink=0.8)
    ax.set(xlim=(-0.5, len(magnitude) - 0.5), ylim=(len(magnitude) - 0.5, -0.5), aspect="equal")
    ax.set(xlabel="source neuron k", ylabel="target neuron j")
    return ax


def mean_weights_by_distance(weight: Tensor, distances: Tensor, bins: int = 12) -> Float[np.ndarray, "4 b"]:
    """Compute the mean distance, excitation, inhibition and weight of pairs of neurons, in bins by distance.

    Pairs j != k are sorted by distance into bins of equal numbers of pairs. Excitation is max(w, 0), inhibition
    min(w, 0). Pruned weights count as 0.

    Args:
        weight: (n, n).
        distances: (n, n), between the neurons.
        bins: number of bins.

    Raises:
        ValueError: if the weight or the distances are not square and finite, they have different shapes, or there are
            fewer pairs than bins.
        TypeError: if one holds something else than numbers.
    """
    matrices = check_square("weight", weight), check_square("distances", distances)
    if matrices[0].shape != matrices[1].shape:
        raise ValueError(f"distances must have the weight's shape {matrices[0].shape}, got {matrices[1].shape}")
    pairs = ~np.eye(len(matrices[0]), dtype=bool)
    values, apart = (matrix[pairs] for matrix in matrices)
    if check_integer("bins", bins, least=1) > len(apart):
        raise ValueError(f"bins must be from 1 to the {len(apart)} pairs of neurons, got {shown(bins)}")
    order = np.argsort(apart, kind="stable")
    return np.array(
        [
            (apart[part].mean(), values[part].clip(min=0).mean(), values[part].clip(max=0).mean(), values[part].mean())
            for part in np.array_split(order, bins)
        ]
    ).T


def plot_weights_by_distance(
    weight: Tensor, distances: Tensor, bins: int = 12, ax: Axes | None = None, *, label: str | None = None
) -> Axes:
    """Draw the mean excitation, inhibition and weight of pairs of neurons against their distance.

    The red area is the mean of max(w, 0), the blue one that of min(w, 0), and the black line the mean of w, in bins of
    `mean_weights_by_distance`.

    Args:
        weight: (n, n).
        distances: (n, n), between the neurons.
        bins: number of bins.
        ax: where to draw.
        label: of the line.

    Returns:
        The axes. `ax.lines[-1]` has the means.

    Raises:
        ValueError: if the weight or the distances are not square and finite, they have different shapes, or there are
            fewer pairs than bins.
        TypeError: if one holds something else than numbers, or the label is not a string.
    """
    means = mean_weights_by_distance(weight, distances, bins)
    if label is not None:
        check_text("label", label)
    ax = axes_or_new(ax)
    ax.fill_between(means[0], means[1], color="C3", alpha=0.3, linewidth=0, label="excitation")
    ax.fill_between(means[0], means[2], color="C0", alpha=0.3, linewidth=0, label="inhibition")
    ax.axhline(0, color="0.6", linewidth=0.6)
    ax.plot(means[0], means[3], color="black", label=label)
    ax.set(xlabel="distance between neurons", ylabel="mean weight")
    return ax


def plot_error_against_sparsity(
    runs: Mapping[str, Sequence[tuple[float, float]]], floor: float, unit: str, ax: Axes | None = None
) -> Axes:
    """Draw the error after each epoch against the sparsity, from the first pruning on; a star marks the last epoch.

    Args:
        runs: by name, the (sparsity, error) pairs of a run in the order of its epochs.
        floor: error of a perfect net, drawn as a line.
        unit: of the error.
        ax: where to draw.

    Returns:
        The axes.
    """
    runs = check_mapping("runs", runs, "a mapping from name to (sparsity, error) pairs")
    drawn = {name: check_array("runs", pairs, ("n", 2)) for name, pairs in runs.items()}
    if any(len(pairs) == 0 for pairs in drawn.values()):
        raise ValueError("runs must hold at least one (sparsity, error) pair each, got none")
    floor, unit = check_positive("floor", floor), check_text("unit", unit)
    ax = axes_or_new(ax)
    for name, pairs in drawn.items():
        dense = [index for index, (sparsity, _) in enumerate(pairs) if sparsity == 0]
        shown = pairs[max(dense, default=0) :]
        (line,) = ax.plot(100 * shown[:, 0], shown[:, 1], marker="o", markersize=3, label=name)
        ax.plot(100 * shown[-1, 0], shown[-1, 1], marker="*", markersize=13, color=line.get_color())
    ax.axhline(floor, color="grey", linestyle="--", linewidth=1, label="perfect net")
    ax.set(xlabel="sparsity, %", ylabel=f"error, {unit}", yscale="log")
    ax.yaxis.set_major_locator(LogLocator(subs=(1, 2, 3, 5, 7)))
    ax.yaxis.set_major_formatter(ScalarFormatter())
    ax.yaxis.set_minor_formatter(NullFormatter())
    ax.legend()
    return ax


def plot_trajectory(true: Tensor, decoded: Mapping[str, Tensor], side: float, ax: Axes | None = None) -> Axes:
    """Draw a walk in a square arena, and the paths that nets decode.

    Args:
        true: (T + 1, 2), m, with the start first.
        decoded: by name, (T, 2), m.
        side: of the arena, m.
        ax: where to draw.

    Returns:
        The axes.
    """
    x, y = check_tensor("true", true, ("n", 2)).detach().double().cpu().numpy().T
    decoded = check_mapping("decoded", decoded, "a mapping from name to path")
    for path in decoded.values():
        check_tensor("decoded", path, ("n", 2))
    if not len(x) or not np.isfinite(x + y).all():
        raise ValueError(f"true must hold at least one position, and finite ones, got {len(x)}")
    side = check_positive("side", side)
    ax = axes_or_new(ax)
    ax.plot(x, y, color="black", linewidth=2, label="true path")
    ax.plot(x[0], y[0], marker="o", color="black", label="start")
    for name, path in decoded.items():
        ax.plot(*path.detach().cpu().numpy().T, marker=".", linewidth=1, label=name)
    ax.add_patch(Rectangle((-side / 2, -side / 2), side, side, fill=False, color="grey"))
    center, reach = (x.mean(), y.mean()), max(np.ptp(x), np.ptp(y), 0.3) * 0.75
    ax.set(xlim=(center[0] - reach, center[0] + reach), ylim=(center[1] - reach, center[1] + reach), aspect="equal")
    ax.set(xlabel="x, m", ylabel="y, m")
    ax.legend()
    return ax


def plot_paired_times(seconds: Mapping[str, Sequence[float]], ax: Axes | None = None) -> Axes:
    """Draw times that were measured in turn: a dot a round, lines between the dots of a round, bars at the medians.

    Args:
        seconds: by name, the times of the rounds, in the same order.
        ax: where to draw.

    Returns:
        The axes.

    Raises:
        ValueError: if the numbers of rounds differ, there is none, or a time is negative or not finite.
        TypeError: if seconds is not a mapping, or holds something else than numbers.
    """
    rows = check_mapping("seconds", seconds, "a mapping from name to the times of the rounds").values()
    rounds = [check_array("seconds", values, ("rounds",)) for values in rows]
    if len(set(map(len, rounds))) != 1 or not len(rounds[0]):
        raise ValueError(f"seconds must have equally many rounds, got {[len(values) for values in rounds]}")
    times = 1e3 * np.array(rounds)
    if not (np.isfinite(times) & (times >= 0)).all():
        raise ValueError("seconds must be finite and >= 0, got others")
    ax = axes_or_new(ax)
    places = np.arange(len(times))
    ax.bar(places, np.median(times, axis=1), width=0.6, color=[f"C{place}" for place in places], alpha=0.35)
    ax.plot(places, times, color="0.6", linewidth=0.4, alpha=0.6)
    for place, values in zip(places, times, strict=True):
        ax.plot(np.full(len(values), place), values, "o", color=f"C{place}", markersize=2)
    ax.set_xticks(places, list(seconds))
    ax.set(ylabel="forward pass, ms", xlim=(-0.6, len(times) - 0.4), ylim=(0, 1.3 * np.median(times, axis=1).max()))
    return ax


def save_panels(panels: Mapping[str, Callable[[Axes], object]], out: Path, together: str) -> list[Path]:
    """Save each panel as its own PNG file, and all of them in one more.

    Args:
        panels: by name of the file, a function that draws into an Axes.
        out: folder of the files; made if it is missing.
        together: name of the file with all panels.

    Returns:
        The files written.
    """
    panels = check_mapping("panels", panels, "a mapping from name to a function that draws")
    for name, draw in panels.items():
        _check_file_name("panels", name)
        check_function(f"panels[{name!r}]", draw, "a function of Axes")
    if not panels:
        raise ValueError("panels must hold at least one panel, got none")
    _check_file_name("together", together)
    check_type("out", out, Path, "a Path").mkdir(parents=True, exist_ok=True)
    written = []
    for name, draw in panels.items():
        figure = Figure(figsize=(6, 5), layout="constrained")
        draw(figure.subplots())
        written.append(out / f"{name}.png")
        figure.savefig(written[-1], dpi=150, bbox_inches="tight")
    rows = math.ceil(len(panels) / 2)
    figure = Figure(figsize=(12, 5 * rows), layout="constrained")
    axes = list(figure.subplots(rows, 2, squeeze=False).flat)
    for draw, ax in zip(panels.values(), axes, strict=False):
        draw(ax)
    for ax in axes[len(panels) :]:
        ax.remove()
    written.append(out / f"{together}.png")
    figure.savefig(written[-1], dpi=110, bbox_inches="tight")
    return written


def _check_file_name(name: str, value: str) -> None:
    if not check_text(name, value) or "/" in value or "\0" in value or len(value) > _LONGEST_NAME:
        raise ValueError(
            f"{name} must be names of files, without '/' and of at most {_LONGEST_NAME} letters, got {value!r:.80}"
        )
