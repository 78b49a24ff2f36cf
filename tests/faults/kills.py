"""Kills of a training process: at every moment at which the disk changes, and at random moments; then resume."""

import random
import shutil
import signal
import time
from functools import partial
from pathlib import Path

from riemod.cli.commands import main
from tests.faults.moments import kill_at, watch
from tests.faults.processes import Child
from tests.faults.runs import command, count_moments, difference, go_on, litter, train_command, workplace
from tests.faults.tally import Tally

SAVING = "riemod/training"


def run(count: int = 100, seed: int = 0, share_of_writes: float = 0.5, twice: bool = True) -> Tally:
    """Kill `count` training processes, that share of them at moments of a write, the others at random moments.

    With `twice`, every second one is killed again while it resumes. A run survives if it then ends with the bits of a
    run that was never killed, and leaves no file behind.
    """
    tally, draws = Tally("kills"), random.Random(seed)
    with workplace() as place:
        whole, scratch = place / "whole", place / "output"
        began = time.monotonic()
        assert command(train_command(whole), scratch).wait().status == 0
        seconds = time.monotonic() - began
        moments = count_moments(place / "counted", scratch)
        writes = round(share_of_writes * count)
        of_a_write = [1 + number * moments // writes for number in range(writes)]
        tally.notes.append(f"{moments} moments of a write in a run of {seconds:.2f} s; kills at {len(set(of_a_write))}")
        for number in range(count):
            folder = place / f"run-{number}"
            if number < len(of_a_write):
                first = f"at moment {of_a_write[number]} of a write"
                end = Child(partial(_watched, folder, of_a_write[number]), scratch).wait()
            else:
                moment = draws.uniform(0, seconds)
                first = f"after {moment:.3f} s"
                child = command(train_command(folder), scratch)
                child.signal_after(moment, signal.SIGKILL)
                end = child.wait()
            tried = f"killed {first}"
            problem = end.problem(-signal.SIGKILL, 0)
            if problem is None and twice and number % 2:
                again = draws.randrange(1, moments)
                tried += f", again at moment {again} of the resumed run"
                problem = Child(partial(_watched, folder, again), scratch).wait().problem(-signal.SIGKILL, 0)
            problem = problem or command(go_on(folder), scratch).wait().problem(0)
            tally.record(tried, problem or difference(folder, whole) or litter(folder), SAVING)
            shutil.rmtree(folder, ignore_errors=True)
    return tally


def _watched(folder: Path, moment: int) -> None:
    """Train, or go on, and die at that moment."""
    arguments = go_on(folder)
    watch(folder, kill_at(moment))
    main(arguments)
