"""How often `ModuliRecovery` recognizes 1,000 points of known manifolds, and how often it errs on noise.

    python -m analysis.known_manifolds                 runs what is missing among the records and prints the table
    python -m analysis.known_manifolds --print-only    prints the table of the existing records

Each cloud has one record, with an entry for each seed. It is written after every fit, so an interrupted study
continues where it stopped. Seeds from 0 on were not looked at while the estimator's constants were chosen; seeds from
100 on were.
"""

import argparse
import json
import platform
import time
from collections import Counter
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

import riemod
from analysis.clouds import KNOWN, NOISES
from riemod._files import write_atomically

POINTS = 1000
RECORDS = Path(__file__).parent / "records" / "known_manifolds"


def fit(points: np.ndarray, seed: int) -> dict[str, Any]:
    """Fit one cloud and return the verdict with the numbers behind it."""
    start = time.process_time()
    found = riemod.topology.ModuliRecovery(random_state=seed).fit(points)
    return {
        "manifold": found.manifold_,
        "reason": found.reason_,
        "betti": {str(prime): list(betti.numbers) for prime, betti in found.betti_.items()},
        "agreement": found.agreement_,
        "p_values": {str(degree): p for degree, p in found.p_values_.items()},
        "longest": {str(degree): round(float(ratio), 4) for degree, ratio in found.longest_.items()},
        "floors": {str(degree): round(ratio, 4) for degree, ratio in found.floors_.items()},
        "dimension": [round(dim, 3) for dim in found.dimension_],
        "processor_seconds": round(time.process_time() - start, 1),
    }


def study(name: str, seed: int, folder: Path) -> None:
    """Fit one cloud, unless its record has this seed."""
    path = folder / f"{name}.json"
    draw = KNOWN[name][1] if name in KNOWN else NOISES[name]
    record = json.loads(path.read_text()) if path.exists() else {"points": POINTS, "fits": {}}
    if str(seed) in record["fits"]:
        return
    record["fits"][str(seed)] = fit(draw(POINTS, np.random.default_rng([seed, len(name)])), seed)
    libraries = ("numpy", "scipy", "scikit-learn", "gudhi", "ripser", "riemod")
    record["versions"] = {library: version(library) for library in libraries} | {"python": platform.python_version()}
    write_atomically(path, (json.dumps(record, indent=1) + "\n").encode())
    print(name, seed, record["fits"][str(seed)]["manifold"], flush=True)


def table(folder: Path) -> str:
    """Make a Markdown table of the records."""
    lines = ["| points | right | verdicts |", "|---|---|---|"]
    for name in (*KNOWN, *NOISES):
        path = folder / f"{name}.json"
        if not path.exists():
            continue
        fits = list(json.loads(path.read_text())["fits"].values())
        verdicts = Counter(entry["manifold"] for entry in fits)
        allowed = {KNOWN[name][0]} if name in KNOWN else {"contractible", "undecided"}
        right = sum(verdicts[verdict] for verdict in allowed)
        seen = ", ".join(f"{verdict} {number}" for verdict, number in verdicts.most_common())
        lines.append(f"| {name} | {right} of {len(fits)} | {seen} |")
    return "\n".join(lines)


def main() -> None:
    """Run what is missing and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--records", type=Path, default=RECORDS)
    parser.add_argument("--first", type=int, default=0, help="the first seed")
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--noise-seeds", type=int, default=10)
    parser.add_argument("--print-only", action="store_true")
    arguments = parser.parse_args()
    arguments.records.mkdir(parents=True, exist_ok=True)
    if not arguments.print_only:
        for seed in range(max(arguments.seeds, arguments.noise_seeds)):
            for name in (*KNOWN, *NOISES):
                if seed < (arguments.seeds if name in KNOWN else arguments.noise_seeds):
                    study(name, arguments.first + seed, arguments.records)
    print(table(arguments.records))


if __name__ == "__main__":
    main()
