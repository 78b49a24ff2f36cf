"""What a user would write: ripser on six principal components of some of the points, and the longest bars counted."""

import numpy as np
from ripser import ripser

POINTS, COMPONENTS = 400, 6
# A bar counts if it lasts for this share of the longest one of its degree, and of the points' spread.
_SHARE, _SPREAD = 0.5, 0.3
_NAMES = {(0, 0): "contractible", (1, 0): "circle", (0, 1): "sphere", (2, 1): "torus"}


def name(states: np.ndarray, seed: int) -> str:
    """Name the manifold by persistence on PCA-6, modulo 47, as is common for grid cells (Gardner et al. 2022).

    There is no rule for which bars count in common use: here those that last for half of the longest of their degree
    and for 0.3 of the points' root mean square distance from their mean.
    """
    rng = np.random.default_rng(seed)
    chosen = states[rng.permutation(len(states))[:POINTS]]
    centered = chosen - chosen.mean(axis=0)
    _, _, axes = np.linalg.svd(centered, full_matrices=False)
    points = centered @ axes[:COMPONENTS].T
    spread = np.sqrt((points**2).sum(axis=1).mean())
    diagrams = ripser(points, maxdim=2, coeff=47, n_perm=min(150, len(points)))["dgms"]
    found = []
    for diagram, share in zip(diagrams[1:], (1.0, 0.5), strict=True):
        lasting = (np.minimum(diagram[:, 1], 2 * spread) - diagram[:, 0]) if len(diagram) else np.zeros(0)
        longest = lasting.max(initial=0.0)
        found.append(int((lasting > max(_SHARE * longest, _SPREAD * share * spread)).sum()))
    return _NAMES.get((found[0], found[1]), "undecided")
