"""Sections of `make faults`: what each tries, how often, and how one is run.

They are not in `__main__`, whose functions a spawned process cannot find.
"""

import importlib
import sys
import time

from tests.faults import mutations
from tests.faults.tally import Tally

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

# By their times, the longest first.
ORDER = ("memory", "kills", "files", "optimizers", "disks", "signals", "nonfinite", "calls")


def run_section(name: str, count: int | None, seed: int) -> Tally:
    """Run one section with that number of attempts, or with its own number, and time it."""
    began = time.monotonic()
    count = SECTIONS[name] if count is None else count
    tally = _files(count, seed) if name == "files" else importlib.import_module(f"tests.faults.{name}").run(count, seed)
    tally.seconds = time.monotonic() - began
    sys.stderr.write(f"{name}: {len(tally.failures)} of {tally.tried} failed, {tally.seconds:.0f} s\n")
    return tally


def _files(count: int, seed: int) -> Tally:
    tried, _, _, failures = mutations.run(count, seed)
    tally = Tally("files", tried - len(failures))
    for failure in failures:
        what, _, outcome = str(failure).partition(": ")
        tally.record(what, outcome or "failed")
    return tally
