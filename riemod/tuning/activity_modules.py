"""Modules told from activity alone: units whose activity follows the same coordinates, wherever the animal was."""

from typing import Any, NamedTuple

import numpy as np
import torch
from jaxtyping import Bool, Float, Int

from riemod._arrays import check_points
from riemod._checks import check_generator, check_integer
from riemod._machine import check_fits

__all__ = ["activity_modules"]

# Units are cut into two pieces if the normalized cut is below the first number, and if at most one unit has more than
# the second as the share of its ties that lead to the other piece, as place cells at the border of two regions have.
_LARGEST_CUT, _BRIDGE = 0.2, 0.25
# Copies of the units, each shifted in time, that show which correlations time courses make by chance.
_COPIES = 10
_MOST_ROUNDS = 20
# Units are explained by all of their module but those of their own part, which are few, or by all but themselves.
_PARTS = 20
# A unit that varies less than this, relative to its size, is constant up to rounding.
_CONSTANT = 1e-9


class _Halves(NamedTuple):
    """Holds second moments of standardized units over the two halves of time, each (2, n, n)."""

    own: Float[np.ndarray, "2 n n"]
    """Between units."""
    shifted: Float[np.ndarray, "copies 2 n n"]
    """Between units (rows) and copies of them that are shifted in time."""


def activity_modules(
    activity: Any,
    *,
    components: int = 6,
    least_units: int = 10,
    blocks: int = 20,
    generator: torch.Generator | None = None,
) -> Int[np.ndarray, " n"]:
    """Tell which units share coordinates: their activity is explained by that of the others of their module.

    1. Two units are tied by the square of their correlation, less that of units shifted in time.
    2. Units are cut in two where the normalized cut is smallest along the second eigenvector of the normalized
       Laplacian, and each piece again, while the cut is below 0.2 and no two units have more than a quarter of their
       ties across it.
    3. The coordinates of a piece are the first principal components of its units, but for the unit in question, or a
       twentieth of them. Linear regression on them is fitted in one half of the time and explains a share of the unit's
       variance in the other, which rises with its Gaussian log-likelihood there. Each unit goes to the piece that
       explains most, until nothing changes.

    A unit of which no piece explains more than of units shifted in time, or whose piece has too few units, is of no
    module. Units of one kind are one module. It takes O(t n^2 + n^3) time.

    Args:
        activity: (t, n), in the order of time, with a variance that does not depend on the rate, such as roots of
            smoothed spike counts.
        components: principal components that are the coordinates of a module, >= 1.
        least_units: of a module, >= 2.
        blocks: into which each half of the time is divided; blocks of the two halves alternate.
        generator: draws the shifts in time, on the CPU.

    Returns:
        The module of each unit, from 0 on, the largest first; -1 for units of none.

    Raises:
        ValueError: for a number outside its range, values that are not finite, or fewer times than blocks.

    Reference: Shi and Malik 2000, https://doi.org/10.1109/34.868688 (normalized cuts)
    """
    array = check_points(activity, "activity")
    check_integer("components", components, 1)
    check_integer("least_units", least_units, 2)
    check_integer("blocks", blocks, 1)
    check_generator(generator)
    if len(array) < 4 * blocks:
        raise ValueError(f"activity must have at least 4 times a block, {4 * blocks} here, got {len(array)}")
    check_fits("the units of activity", array.shape[1], 8 * 2 * (_COPIES + 1) * array.shape[1] ** 2)
    labels = np.full(array.shape[1], -1)
    deviations = array.std(axis=0)
    varying = np.flatnonzero(deviations > _CONSTANT * np.abs(array).max(axis=0))
    if len(varying) < least_units:
        return labels
    units = (array[:, varying] - array[:, varying].mean(axis=0)) / deviations[varying]
    halves = _halves(units, blocks, generator)
    found = _settled(halves, _pieces(_ties(halves)), components, least_units)
    order = sorted(
        range(found.max() + 1), key=lambda label: (-(found == label).sum(), np.flatnonzero(found == label)[0])
    )
    for rank, label in enumerate(order):
        labels[varying[found == label]] = rank
    return labels


def _halves(units: Float[np.ndarray, "t n"], blocks: int, generator: torch.Generator | None) -> _Halves:
    half = np.arange(len(units)) * 2 * blocks // len(units) % 2
    times = [np.flatnonzero(half == which) for which in (0, 1)]
    own = np.stack([units[at].T @ units[at] / len(at) for at in times])
    shifted = []
    for _ in range(_COPIES):
        # Units that are hardly shifted would show what they are tuned to.
        offsets = torch.randint(len(units) // 8, len(units) - len(units) // 8, (units.shape[1],), generator=generator)
        copy = np.stack(
            [np.roll(column, offset) for column, offset in zip(units.T, offsets.tolist(), strict=True)], axis=1
        )
        shifted.append([units[at].T @ copy[at] / len(at) for at in times])
    return _Halves(own, np.array(shifted))


def _ties(halves: _Halves) -> Float[np.ndarray, "n n"]:
    """Square correlations, less the mean square of those with shifted copies; never negative, 0 with itself.

    A unit whose squares are no more in sum than those of some shifted copy has no ties: it would join any pieces.
    """
    chance = np.square(halves.shifted.mean(axis=1))
    squares = np.square(halves.own.mean(axis=0))
    np.fill_diagonal(squares, 0.0)
    tied = squares.sum(axis=1) > chance.sum(axis=1).max()
    expected = chance.mean(axis=0)
    ties = np.where(tied & tied[:, None], np.maximum(squares - (expected + expected.T) / 2, 0.0), 0.0)
    np.fill_diagonal(ties, 0.0)
    return ties


def _pieces(ties: Float[np.ndarray, "n n"]) -> list[np.ndarray]:
    """Cut units in two as long as there is a clear cut; units without any tie are in no piece."""
    waiting, found = [np.arange(len(ties))], []
    while waiting:
        members = waiting.pop()
        # Cuts may have taken all ties of a unit.
        members = members[ties[np.ix_(members, members)].sum(axis=1) > 0]
        side = _cut(ties[np.ix_(members, members)])
        if side is None:
            found.append(members)
        else:
            waiting += [members[side], members[~side]]
    return found


def _cut(ties: Float[np.ndarray, "m m"]) -> Bool[np.ndarray, " m"] | None:
    """Return which units are on one side of the smallest normalized cut; None if it is not clear."""
    if len(ties) < 2:
        return None
    degrees = ties.sum(axis=1)
    scale = 1 / np.sqrt(degrees)
    vectors = np.linalg.eigh(np.eye(len(ties)) - scale[:, None] * ties * scale)[1]
    order = np.argsort(vectors[:, 1] * scale, kind="stable")
    # Ties across the cut after each unit: each unit adds its ties to those after it and takes those to the ones before.
    sorted_ties = ties[np.ix_(order, order)]
    across = np.cumsum(np.triu(sorted_ties).sum(axis=1) - np.tril(sorted_ties).sum(axis=1))[:-1]
    volume = np.cumsum(degrees[order])
    cuts = across / volume[:-1] + across / (volume[-1] - volume[:-1])
    best = int(cuts.argmin())
    side = np.zeros(len(ties), dtype=bool)
    side[order[: best + 1]] = True
    other = np.where(side, ties[:, ~side].sum(axis=1), ties[:, side].sum(axis=1)) / degrees
    clear = cuts[best] < _LARGEST_CUT and (other > _BRIDGE).sum() <= 1
    return side if clear else None


def _settled(halves: _Halves, pieces: list[np.ndarray], components: int, least_units: int) -> Int[np.ndarray, " n"]:
    """Move units to the piece that explains most of them, until nothing changes; -1 for those of none."""
    labels = np.full(halves.own.shape[1], -1)
    for label, members in enumerate(pieces):
        labels[members] = label
    labels = _large(labels, least_units)
    for _ in range(_MOST_ROUNDS):
        if labels.max() < 0:
            break
        shares = np.stack([_explained(halves, labels == label, components) for label in range(labels.max() + 1)])
        moved = _large(np.where(shares.max(axis=0) > 0, shares.argmax(axis=0), -1), least_units)
        if (moved == labels).all():
            break
        labels = moved
    return labels


def _large(labels: Int[np.ndarray, " n"], least_units: int) -> Int[np.ndarray, " n"]:
    """Number modules anew, and take units of those that are too small out of them."""
    kept = [label for label in range(labels.max() + 1) if (labels == label).sum() >= least_units]
    found = np.full_like(labels, -1)
    for number, label in enumerate(kept):
        found[labels == label] = number
    return found


def _explained(halves: _Halves, members: Bool[np.ndarray, " n"], components: int) -> Float[np.ndarray, " n"]:
    """Share of each unit's variance that the others of a module explain, less the most that they explain of copies."""
    shares, chance = np.zeros(len(members)), 0.0
    everyone = np.flatnonzero(members)
    for fit, test in ((0, 1), (1, 0)):
        train, held = halves.own[fit], halves.own[test]
        axes = _axes(train, everyone, components)
        outside = ~members
        shares[outside] += _share(axes, everyone, train[:, outside], held, held[:, outside], np.diag(held)[outside])
        for copy in halves.shifted:
            # A shifted copy has another variance in this half; that of the unit over all time is 1.
            drawn = _share(axes, everyone, copy[fit], held, copy[test], np.ones(len(members)))
            chance = max(chance, float(drawn.max()))
        for part in range(min(_PARTS, len(everyone))):
            units, others = everyone[part::_PARTS], np.delete(everyone, np.s_[part::_PARTS])
            axes = _axes(train, others, components)
            shares[units] += _share(axes, others, train[:, units], held, held[:, units], np.diag(held)[units])
    return shares / 2 - chance


def _axes(moments: Float[np.ndarray, "n n"], members: Int[np.ndarray, " m"], components: int) -> np.ndarray:
    """First principal axes (m, k) of some units, scaled so that their components have the variance 1."""
    variances, axes = np.linalg.eigh(moments[np.ix_(members, members)])
    kept = variances[::-1][:components] > _CONSTANT
    return axes[:, ::-1][:, :components][:, kept] / np.sqrt(variances[::-1][:components][kept])


def _share(
    axes: Float[np.ndarray, "m k"],
    members: Int[np.ndarray, " m"],
    fitted: Float[np.ndarray, "n u"],
    held: Float[np.ndarray, "n n"],
    tested: Float[np.ndarray, "n u"],
    variances: Float[np.ndarray, " u"],
) -> Float[np.ndarray, " u"]:
    """Share of the variance of u units in one half that a regression fitted in the other explains."""
    weights = axes @ (axes.T @ fitted[members])
    inner = np.einsum("mu,mu->u", weights, held[np.ix_(members, members)] @ weights)
    return (2 * np.einsum("mu,mu->u", weights, tested[members]) - inner) / np.maximum(variances, _CONSTANT)
