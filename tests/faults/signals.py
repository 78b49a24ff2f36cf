"""SIGINT and SIGTERM at random moments, the first seconds of a process among them; then resume."""

import os
import random
import signal
import subprocess
import sys
import time

from tests.faults.processes import LONGEST, End
from tests.faults.runs import command, difference, go_on, litter, train_command, workplace
from tests.faults.tally import PACKAGE, Tally

# Refused or interrupted; or 128 plus the signal's number, as shells count.
INTERRUPTED = {signal.SIGINT: (2, 130), signal.SIGTERM: (2, 143)}
# Python's own start, in which no line of the library has run yet, and the first seconds after it.
FIRST, LAST = 0.3, 5.0


def run(count: int = 40, seed: int = 0) -> Tally:
    """Interrupt `count` training processes, every fourth a fresh Python in its first seconds; then go on.

    A run survives if its process ends with one line on standard error and the status of an interrupted one, and the run
    then ends with the bits of an undisturbed one.
    """
    tally, draws = Tally("signals"), random.Random(seed)
    with workplace() as place:
        whole, scratch = place / "whole", place / "output"
        began = time.monotonic()
        assert command(train_command(whole), scratch).wait().status == 0
        seconds = time.monotonic() - began
        for number in range(count):
            folder = place / f"run-{number}"
            sent = (
                (signal.SIGINT, signal.SIGTERM)[number // 4 % 2] if number % 4 == 3 else draws.choice(list(INTERRUPTED))
            )
            if number % 4 == 3:
                moment = draws.uniform(FIRST, LAST)
                end, where = _fresh(train_command(folder), moment, sent), "a fresh Python"
            else:
                moment = draws.uniform(0, seconds)
                child = command(train_command(folder), scratch)
                child.signal_after(moment, sent)
                end, where = child.wait(), "a run"
            finished = (folder / "record.json").is_file()
            problem = end.problem(*((0,) if finished else ()), *INTERRUPTED[sent])
            problem = problem or command(go_on(folder), scratch).wait().problem(0)
            problem = problem or difference(folder, whole) or litter(folder)
            tally.record(f"{sent.name} to {where} after {moment:.2f} s", problem, "riemod/cli/commands.py")
    return tally


def _fresh(arguments: list[str], moment: float, sent: signal.Signals) -> End:
    """Start a Python that runs the command line, and send it a signal."""
    environment = {**os.environ, "PYTHONPATH": str(PACKAGE.parent), "OMP_NUM_THREADS": "1"}
    command_line = [sys.executable, "-m", "riemod", *arguments]
    with subprocess.Popen(command_line, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, env=environment) as process:
        time.sleep(moment)
        process.send_signal(sent)
        try:
            _, errors = process.communicate(timeout=LONGEST)
        except subprocess.TimeoutExpired:
            process.kill()
            return End(-signal.SIGKILL, f"killed: it did not end within {LONGEST:g} s")
    return End(process.returncode, errors.decode(errors="replace"))
