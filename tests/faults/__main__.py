"""`python -m tests.faults [SECTION ...]`: what riemod survives, in one table; status 1 if anything failed."""

import argparse
import importlib
import sys
import time

from tests.faults import mutations
from tests.faults.tally import Tally, table

# The number of attempts in each section: of mutated files for each kind of file, of steps for memory.
SECTIONS = {
    "kills": 100,
    "files": 500,
    "disks": 30,
    "signals": 40,
    "calls": 300,
    "nonfinite": 30,
    "memory": 100_000,
    "optimizers": 24,
}


def run_section(name: str, count: int, seed: int) -> Tally:
    """Run one section."""
    if name != "files":
        return importlib.import_module(f"tests.faults.{name}").run(count, seed)
    tried, _, _, failures = mutations.run(count, seed)
    tally = Tally(name, tried - len(failures))
    for failure in failures:
        what, _, outcome = str(failure).partition(": ")
        tally.record(what, outcome or "failed")
    return tally


def main() -> None:
    """Run the sections that are named, or all of them, and print the table."""
    parser = argparse.ArgumentParser(prog="python -m tests.faults", description=__doc__)
    parser.add_argument("sections", nargs="*", metavar="SECTION", help=f"any of {', '.join(SECTIONS)}; default is all")
    parser.add_argument("--count", type=int, help="attempts in each section; default is the section's own number")
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    if unknown := set(arguments.sections) - set(SECTIONS):
        parser.error(f"SECTION must be any of {', '.join(SECTIONS)}, got {', '.join(sorted(unknown))}")
    tallies: list[Tally] = []
    for name in arguments.sections or SECTIONS:
        began = time.monotonic()
        tally = run_section(name, arguments.count or SECTIONS[name], arguments.seed)
        tally.seconds = time.monotonic() - began
        tallies.append(tally)
        sys.stderr.write(f"{name}: {len(tally.failures)} of {tally.tried} failed, {tally.seconds:.0f} s\n")
    sys.stdout.write(table(tallies) + "\n")
    raise SystemExit(any(tally.failures for tally in tallies))


if __name__ == "__main__":
    main()
