"""Time, processor time and memory of a verdict on 10,000 states of 512 units, measured in a fresh process.

python -m analysis.cost               # measure, write the record and print it; 200 nulls of each of the three kinds
python -m analysis.cost --print-only  # print the committed record
"""

import argparse
import json
import os
import resource
import time
from pathlib import Path

import numpy as np
from joblib.externals.loky import get_reusable_executor

import riemod

RECORD = Path(__file__).parent / "records" / "cost.json"
STATES, UNITS, NULLS = 10_000, 512, 200


def torus_states(states: int, units: int, rng: np.random.Generator) -> np.ndarray:
    """Draw (states, units) ReLU activities, with noise, of units with one bump each on a flat torus."""
    places, centers = rng.uniform(0, 2 * np.pi, (states, 1, 2)), rng.uniform(0, 2 * np.pi, (units, 2))
    drive = np.cos(places - centers).sum(axis=2) - rng.uniform(0, 1, units)
    return np.maximum(drive + 0.05 * rng.standard_normal(drive.shape), 0)


def measure(jobs: int) -> dict[str, object]:
    """Fit once and return the time and memory it took."""
    data = torus_states(STATES, UNITS, np.random.default_rng(0))
    start, before = time.perf_counter(), os.times()
    found = riemod.topology.ModuliRecovery(n_nulls=NULLS, n_jobs=jobs).fit(data)
    seconds = time.perf_counter() - start
    # The times of child processes are counted once they have ended.
    get_reusable_executor().shutdown(wait=True)
    after = os.times()
    # Linux reports kilobytes, and of children the largest.
    peaks = [resource.getrusage(who).ru_maxrss / 2**20 for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return {
        "states": STATES,
        "units": UNITS,
        "nulls of each kind": NULLS,
        "jobs": jobs,
        "cores": os.cpu_count(),
        "manifold": found.manifold_,
        "p_values": {str(degree): round(p, 4) for degree, p in found.p_values_.items()},
        "seconds": round(seconds, 1),
        "processor seconds": round(sum(after[:4]) - sum(before[:4]), 1),
        "peak GiB": round(peaks[0] + (jobs * peaks[1] if jobs > 1 else 0), 2),
    }


def main() -> None:
    """Measure, unless asked not to, and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--print-only", action="store_true")
    arguments = parser.parse_args()
    if not arguments.print_only:
        RECORD.write_text(json.dumps(measure(arguments.jobs), indent=1) + "\n")
    print(RECORD.read_text(), end="")


if __name__ == "__main__":
    main()
