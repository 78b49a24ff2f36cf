"""Recordings of neural populations: spike times, counts, rates or calcium traces, made into points to be judged.

`load` reads a file and `prepare` makes points of it, for `riemod.topology.ModuliRecovery`. Times are in s, positions in
m, and directions in rad. NWB files need pynwb (`pip install 'riemod[recordings]'`).
"""

from riemod.recordings import simulate
from riemod.recordings._pynapple import from_pynapple
from riemod.recordings.files import load
from riemod.recordings.prepare import Prepared, Tally, prepare
from riemod.recordings.recording import Recording, Samples, Spikes, Track, from_samples, from_spikes
from riemod.recordings.steps import (
    Binned,
    bin_activity,
    burst_index,
    inliers,
    mean_rates,
    principal_components,
    smoothed,
    speed,
    stabilized,
    tracked_at,
)

__all__ = [
    "Binned",
    "Prepared",
    "Recording",
    "Samples",
    "Spikes",
    "Tally",
    "Track",
    "bin_activity",
    "burst_index",
    "from_pynapple",
    "from_samples",
    "from_spikes",
    "inliers",
    "load",
    "mean_rates",
    "prepare",
    "principal_components",
    "simulate",
    "smoothed",
    "speed",
    "stabilized",
    "tracked_at",
]
