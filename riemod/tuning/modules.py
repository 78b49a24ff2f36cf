"""Modules of grid cells: units whose autocorrelograms show the same lattice."""

import numpy as np
from jaxtyping import Float, Int
from scipy.cluster.hierarchy import fcluster, linkage
from scipy.spatial.distance import squareform

from riemod._checks import check_fraction, check_integer
from riemod.tuning.gridness import autocorrelograms, lattice_of
from riemod.tuning.rate_maps import RateMaps

__all__ = ["grid_modules"]

# Lags up to this share of the largest one are compared: beyond, few bins overlap.
_REACH = 0.6
# The mean autocorrelogram of a module has a larger grid score.
_LEAST_SCORE = 0.5


def grid_modules(
    maps: RateMaps, *, alike: float = 0.7, least_units: int = 10, least_bins: int = 20
) -> Int[np.ndarray, " n"]:
    """Tell which units are grid cells of the same module: their fields repeat at the same lags.

    The autocorrelogram of a grid cell shows spacing and orientation of its lattice, whatever its phase. Its mean at
    each distance is taken off, and with it the peak at lag 0 and every round field; what is left is correlated between
    units over lags up to 0.6 of the largest. Units are joined by average linkage while their mean correlation exceeds
    `alike`. A group is a module if it has `least_units`, and if the mean of its autocorrelograms has a grid score above
    0.5. Takes O(n^2 b) time.

    Args:
        maps: on `regular_bins` of Euclidean(2) or Torus(2), of units whose rates vary; smoothed.
        alike: correlation above which groups are joined, between 0 and 1.
        least_units: of a module, >= 2.
        least_bins: as `autocorrelograms`.

    Returns:
        The module of each unit, from 0 on in the order of spacing; -1 for units of none.

    Raises:
        ValueError: as `autocorrelograms`, or for a number outside its range.

    Reference: Stensola et al. 2012, https://doi.org/10.1038/nature11649; Gardner et al. 2022,
    https://doi.org/10.1038/s41586-021-04268-7
    """
    check_fraction("alike", alike)
    check_integer("least_units", least_units, 2)
    images = autocorrelograms(maps, least_bins=least_bins)
    widths = maps.bins.widths or (1.0, 1.0)
    labels = np.full(len(images), -1)
    if len(images) < least_units:
        return labels
    groups = fcluster(
        linkage(squareform(1 - _correlations(images, widths), checks=False), "average"), 1 - alike, "distance"
    )
    found = []
    for group in np.unique(groups):
        members = np.flatnonzero(groups == group)
        if len(members) >= least_units:
            score, spacing, _ = lattice_of(images[members].mean(axis=0), widths)
            if score > _LEAST_SCORE:
                found.append((spacing, members))
    for label, (_, members) in enumerate(sorted(found, key=lambda one: one[0])):
        labels[members] = label
    return labels


def _correlations(images: Float[np.ndarray, "n h w"], widths: tuple[float, ...]) -> Float[np.ndarray, "n n"]:
    """Correlate autocorrelograms less their mean at each distance."""
    lags = (np.indices(images.shape[1:]).T - np.array(images.shape[1:]) // 2).T * np.array(widths)[:, None, None]
    radius = np.hypot(*lags)
    reach = _REACH * min(np.abs(lags).max(axis=(1, 2)))
    used = np.isfinite(images).all(axis=0) & (radius <= reach)
    ring = np.round(radius[used] / max(widths)).astype(int)
    values = images[:, used]
    counts = np.maximum(np.bincount(ring), 1)
    means = np.stack([np.bincount(ring, row) for row in values]) / counts
    left = values - means[:, ring]
    left /= np.maximum(np.linalg.norm(left, axis=1, keepdims=True), np.finfo(float).tiny)
    return np.clip(left @ left.T, -1.0, 1.0)
