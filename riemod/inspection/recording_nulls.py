"""Null data of a recording that know how it was sampled: its units, each shifted in time."""

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import torch

from riemod.recordings import Prepared, inliers, principal_components
from riemod.topology import ModuliRecovery
from riemod.topology.nulls import rolled

__all__ = ["compared", "shifted_units"]

# As `prepare`: a fortieth of the bins are a point's neighborhood.
_NEIGHBORHOOD = 40


def compared(recovery: ModuliRecovery, prepared: Prepared) -> ModuliRecovery:
    """Fit a copy of an estimator to the cloud of a recording, whose shifted units are one more kind of its nulls.

    Args:
        recovery: whose parameters the copy has.
        prepared: the recording, in bins of time.
    """
    parameters: Any = recovery.get_params() | {"nulls": (*recovery.nulls, shifted_units(prepared))}
    return ModuliRecovery(**parameters).fit(prepared.cloud)


def shifted_units(prepared: Prepared) -> Callable[[Any, torch.Generator], np.ndarray]:
    """Make a null for `ModuliRecovery` that shifts each unit in time by an offset of its own.

    What a unit does alone is kept: its rate, how its activity changes in time, how often the animal was where it fires.
    What units do together is lost. The shifted units are projected onto principal components and freed of outliers as
    those of the recording are, but in as many random bins as give the points of the cloud, so that it takes less time.

    Args:
        prepared: the recording, in bins of time.

    Returns:
        A function of the cloud, which it ignores, and a generator.
    """
    activity, kept = prepared.stable, prepared.points.shape[1]
    share, count = prepared.settings["share"], len(prepared.drawn)

    def null(_: Any, generator: torch.Generator) -> np.ndarray:
        bins = torch.randperm(len(activity), generator=generator)[: math.ceil(count / share)].sort().values.numpy()
        points, _ = principal_components(rolled(activity, generator)[bins], kept)
        return points[inliers(points, share, max(2, len(points) // _NEIGHBORHOOD))]

    return null
