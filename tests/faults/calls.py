"""Bad calls over the public API: one argument at a time is bad, the others are valid."""

import inspect
import json
import os
import random
import re
import resource
import select
import signal
import tempfile
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import matplotlib as mpl
import numpy as np
import torch
from matplotlib import pyplot as plt
from torch import Tensor, nn

from riemod.training import CheckpointError, RunError
from tests.faults.bad import ANYWHERE, variants
from tests.faults.processes import Child
from tests.faults.runs import workplace
from tests.faults.snapshots import differs, snapshot
from tests.faults.tally import Tally, riemod_file
from tests.faults.uses import every_call
from tests.faults.valid import Call

LONGEST = 20.0
MEMORY = 6 << 30

# Infinity and NaN are among the right answers of these: bars that never die, bins that nobody visited, units that no
# field repeats of, the diameter of a plane.
INFINITE_BY_NATURE = re.compile(r"topology\.|tuning\.|recordings\.tracked_at|manifolds\.|dynamics\.lyapunov")
# Words of Python, NumPy and torch, not of the library: a message of theirs names no argument, whatever else it says.
FOREIGN = re.compile(
    r"not supported between|has no attribute|object is not|unsupported operand|invalid combination of arguments"
    r"|\(\): argument|has no len|not iterable|unexpected keyword|could not convert|can't convert|cannot convert"
    r"|must be real number|ambiguous|only integer tensors|Expected .* but got|missing \d+ required|positional argument"
)
# scikit-learn's own words, which its users know, and which its estimators are tested for.
SKLEARN = re.compile(
    r"Found array|Expected 2D array|Reshape your data|cannot be used to seed|dtype='numeric'|Input X|Complex data"
    r"|^X must be an array of numbers"
)
# The names that functions which look something up by its name have for it.
LOOKED_UP = ("name", "arm", "initializer", "task", "evidence", "inhibitor", "manifold")
# What holds NaN gives NaN, as torch's users expect: a penalty of such weights, a step on them, a matrix of them.
PASSED_ON = re.compile(
    r"regularization\.(moduli_penalty\(weight|ModuliRegularizer\(module|proximal_step\(moduli)"
    r"|evidence\.(PointEvidence\(moduli|(absolute|signed)_weights\(weight|incoming_cosine\(weight)=with"
    r"|coactivity\.coactivity_energy\(correlations=with|optim\.\w+\(model=with|sparse\.(\w+Matrix(\.of)?\((values|weight)"
    r"|Compressed\w+\.forward)"
)


class Case(NamedTuple):
    """Holds a call, the argument that is bad, a label of its value and what makes it."""

    call: Call
    argument: str
    label: str
    make: Callable[[], Any]

    def __str__(self) -> str:
        return f"{self.call.name}({self.argument}={self.label})"


def every_case(only: str = "") -> list[Case]:
    """Return all bad calls of the callables whose names match a regular expression from their start, call by call."""
    cases = []
    for call in every_call():
        if not re.match(only, call.name):
            continue
        for argument, maker in call.arguments.items():
            cases += [Case(call, argument, label, make) for label, make in ANYWHERE.items()]
            # Each maker makes its valid value anew: a case must not see what another one did to it.
            for label, _ in variants(maker()):
                cases.append(Case(call, argument, label, _Variant(maker, label)))
    return cases


class _Variant:
    def __init__(self, maker: Callable[[], Any], label: str) -> None:
        self.maker, self.label = maker, label

    def __call__(self) -> Any:
        return dict(variants(self.maker()))[self.label]()


def choose(cases: list[Case], count: int, seed: int) -> list[Case]:
    """Draw cases, from each argument of each call in turn; all of them if there are no more than `count`."""
    draws = random.Random(seed)
    groups: dict[tuple[str, str], list[Case]] = {}
    for case in draws.sample(cases, len(cases)):
        groups.setdefault((case.call.name, case.argument), []).append(case)
    order, chosen = list(groups.values()), []
    while len(chosen) < min(count, len(cases)):
        for group in order:
            if group and len(chosen) < count:
                chosen.append(group.pop())
    return chosen


def invoke(function: Callable[..., Any], arguments: Mapping[str, Any]) -> Any:
    """Call a function with arguments by name; *args take a sequence."""
    positional: list[Any] = []
    named = dict(arguments)
    parameters = list(inspect.signature(function).parameters.values())
    open_ended = any(p.kind is p.VAR_POSITIONAL and p.name in named for p in parameters)
    for parameter in parameters:
        if parameter.kind is parameter.VAR_POSITIONAL:
            values = named.pop(parameter.name, ())
            positional += values if isinstance(values, tuple | list) else [values]
        elif parameter.kind is parameter.POSITIONAL_ONLY or (
            open_ended and parameter.kind is not parameter.KEYWORD_ONLY
        ):
            positional.append(named.pop(parameter.name))
    return function(*positional, **named)


def judge(case: Case) -> tuple[str, str] | None:
    """Make one bad call; return how it failed and the file to mend, None if it survived."""
    home = inspect.getmodule(inspect.unwrap(case.call.function))
    home_file = (
        f"{home.__name__.replace('.', '/')}.py" if home is not None and home.__name__.startswith("riemod") else "?"
    )
    arguments = {name: maker() for name, maker in case.call.arguments.items()}
    try:
        bad = case.make()
    except Exception:
        return None  # That value cannot be made bad in this way.
    arguments[case.argument] = bad
    before = snapshot(arguments)
    refused = True
    try:
        result = invoke(case.call.function, arguments)
        refused = False
        result = case.call.use(result)
    except (TypeError, ValueError, RunError, CheckpointError, FileNotFoundError) as error:
        if names_an_argument(str(error), case):
            changed = [name for name, value in arguments.items() if refused and differs(before[name], snapshot(value))]
            return (f"is refused, but has changed {', '.join(changed)}", home_file) if changed else None
        return f"{type(error).__name__}: {str(error)[:200]}", riemod_file(error.__traceback__)
    except BaseException as error:
        if isinstance(error, NotImplementedError) and "meta" in str(error).lower():
            return None
        return f"{type(error).__name__}: {str(error)[:200]}", riemod_file(error.__traceback__)
    if not is_finite(result) and not (INFINITE_BY_NATURE.match(case.call.name) or PASSED_ON.match(str(case))):
        return "succeeds, with NaN or infinity", home_file
    return None


def names_an_argument(message: str, case: Case) -> bool:
    """Return whether an error's message is the library's own and names an argument of the call."""
    names = LOOKED_UP if case.call.name.endswith("by_name") or case.argument == "name" else tuple(case.call.arguments)
    if case.call.name.startswith("topology.") and SKLEARN.search(message):
        return True
    # What a part of an argument is named: the points of a regularizer, the maps that a statistic is given.
    for argument, part in (("moduli", "points"), ("embedding", "points"), ("statistic", "maps")):
        names = (*names, part) if argument in case.call.arguments else names
    return not FOREIGN.search(message) and any(re.search(rf"\b{re.escape(name)}\b", message) for name in names)


def is_finite(value: Any) -> bool:
    """Return whether all numbers in a result are finite."""
    if isinstance(value, Tensor):
        return value.is_meta or not value.is_floating_point() or bool(torch.isfinite(value.detach()).all())
    if isinstance(value, np.ndarray):
        return value.dtype.kind not in "fc" or bool(np.isfinite(value).all())
    if isinstance(value, float):
        return bool(np.isfinite(value))
    if isinstance(value, nn.Module):
        return True
    if isinstance(value, Mapping):
        return all(map(is_finite, value.values()))
    if isinstance(value, Sequence) and not isinstance(value, str | bytes):
        return all(map(is_finite, value))
    return True


def run(count: int = 300, seed: int = 0, only: str = "") -> Tally:
    """Make `count` bad calls; each must raise an error that names an argument, or succeed with finite results.

    A call that is refused must leave the numbers that its arguments hold as they were.

    Args:
        count: how many calls are drawn, from each argument of each callable in turn.
        seed: of the draw.
        only: a regular expression that the callables' names must match from their start.
    """
    tally = Tally("calls")
    mpl.use("Agg")
    with workplace() as place, _temporary_files_in(place):
        every = every_case(only)
        cases = choose(every, count, seed)
        tally.notes.append(f"{len(every):,} bad calls are known, {len({case.call.name for case in every})} callables")
        done = 0
        while done < len(cases):
            done += _some(cases[done:], place, tally)
    return tally


@contextmanager
def _temporary_files_in(place: Path) -> Iterator[None]:
    before, tempfile.tempdir = tempfile.tempdir, str(place)
    try:
        yield
    finally:
        tempfile.tempdir = before


def _some(cases: list[Case], scratch: Path, tally: Tally) -> int:
    """Make calls in a process until they are done, or one of them ends it or hangs; return how many were tried."""
    reader, writer = os.pipe()

    def work() -> None:
        os.close(reader)
        warnings.simplefilter("ignore")
        size = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (size + MEMORY, size + MEMORY))
        for case in cases:
            torch.manual_seed(0)
            os.write(writer, (json.dumps(judge(case)) + "\n").encode())
            plt.close("all")

    child = Child(work, scratch)
    os.close(writer)
    tried, text = 0, b""
    while tried < len(cases):
        ready, _, _ = select.select([reader], [], [], LONGEST)
        chunk = os.read(reader, 1 << 16) if ready else b""
        text += chunk
        *lines, text = text.split(b"\n")
        for line in lines:
            outcome = json.loads(line)
            tally.record(str(cases[tried]), *(outcome or (None,)))
            tried += 1
        if not chunk:
            break
    if tried < len(cases):
        if not ready:
            os.kill(child.pid, signal.SIGKILL)
        end = child.wait()
        what = f"hangs for {LONGEST:g} s" if not ready else f"ends the process: {end.problem(0)}"
        tally.record(str(cases[tried]), what, f"riemod/{cases[tried].call.name.split('.')[0]}")
        tried += 1
    else:
        child.wait()
    os.close(reader)
    return tried
