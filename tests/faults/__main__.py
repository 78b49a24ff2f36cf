"""`python -m tests.faults [SECTION ...]`: what riemod survives, in one table; status 1 if anything failed.

Sections run in processes of their own, two at a time, the longest first.
"""

import argparse
import multiprocessing
import sys
import time
from concurrent.futures import ProcessPoolExecutor
from functools import partial

from tests.faults.sections import ORDER, SECTIONS, run_section
from tests.faults.tally import table


def main() -> None:
    """Run the sections that are named, or all of them, and print the table."""
    parser = argparse.ArgumentParser(prog="python -m tests.faults", description=__doc__)
    parser.add_argument("sections", nargs="*", metavar="SECTION", help=f"any of {', '.join(SECTIONS)}; default is all")
    parser.add_argument("--count", type=int, help="attempts in each section; default is the section's own number")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--jobs", type=int, default=2, help="sections that run at a time, each on one core")
    arguments = parser.parse_args()
    if unknown := set(arguments.sections) - set(SECTIONS):
        parser.error(f"SECTION must be any of {', '.join(SECTIONS)}, got {', '.join(sorted(unknown))}")
    names = sorted(arguments.sections or SECTIONS, key=ORDER.index)
    run = partial(run_section, count=arguments.count, seed=arguments.seed)
    began = time.monotonic()
    if arguments.jobs == 1 or len(names) == 1:
        tallies = [run(name) for name in names]
    else:
        spawn = multiprocessing.get_context("spawn")
        with ProcessPoolExecutor(arguments.jobs, spawn, max_tasks_per_child=1) as pool:
            tallies = list(pool.map(run, names))
    tallies.sort(key=lambda tally: list(SECTIONS).index(tally.section))
    sys.stderr.write(f"{time.monotonic() - began:.0f} s in all\n")
    sys.stdout.write(table(tallies) + "\n")
    raise SystemExit(any(tally.failures for tally in tallies))


if __name__ == "__main__":
    main()
