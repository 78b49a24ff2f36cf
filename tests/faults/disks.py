"""Disks that are full or read-only, places where no run can be, and two writers in one folder."""

import ctypes
import os
import resource
import shutil
import signal
import time
from collections.abc import Callable, Iterator
from functools import partial
from itertools import islice
from pathlib import Path

from riemod.cli.commands import main
from riemod.training import RunFolder, load
from tests.faults.moments import watch
from tests.faults.processes import Child
from tests.faults.runs import command, count_moments, difference, go_on, litter, train_command, workplace
from tests.faults.tally import Tally

_CAPABILITIES = 0x20080522
# CAP_DAC_OVERRIDE and CAP_DAC_READ_SEARCH: with them root writes to read-only folders.
_IGNORE_MODES = 0b110


def run(count: int = 30, seed: int = 0) -> Tally:
    """Fill the disk, or make it read-only, at `count` moments of a run, then go on; then try every bad place.

    A run survives if its process ends with status 2 and one line, its last checkpoint loads, and it goes on to the bits
    of an undisturbed run once there is room.
    """
    del seed  # Nothing is drawn.
    tally = Tally("disks")
    with workplace() as place:
        hindered(count, place, tally)
        scratch = place / "output"
        places(None, place, tally)
        for what, try_two in (("resume", _second_resume), ("train", _both_train), ("resume at once", _both_resume)):
            tally.record(f"two writers: {what}", try_two(place / f"two {what}", scratch), "riemod/training/folder.py")
        full_outputs(place, tally)
    return tally


def full_outputs(place: Path, tally: Tally) -> Tally:
    """Print to a full disk: each command must end with status 2 and one line."""
    whole = str(_whole(place))
    for words in (["show", whole], ["evaluate", whole], ["--help"], ["train", "adding", "--help"]):
        end = Child(partial(main, words), place / "output", "/dev/full").wait()
        tally.record(f"riemod {words[0]} > /dev/full", end.problem(2), "riemod/cli/commands.py")
    return tally


def hindered(count: int, place: Path, tally: Tally) -> Tally:
    """Fill the disk at every second of `count` moments of a run, make it read-only at the others, then go on."""
    whole, scratch = _whole(place), place / "output"
    moments = count_moments(place / "counted", scratch, halve=False)
    for number in range(count):
        folder, moment = place / f"run-{number}", 1 + number // 2 * 2 * moments // count
        how = ("full", "read-only")[number % 2]
        end = Child(partial(_hindered, folder, moment, how), scratch).wait()
        _make_writable(folder)
        problem = end.problem(*((0,) if (folder / "record.json").is_file() else ()), 2) or _last_checkpoint(folder)
        problem = problem or command(go_on(folder), scratch).wait().problem(0)
        problem = problem or difference(folder, whole) or litter(folder)
        tally.record(f"the disk is {how} from moment {moment} on", problem, "riemod/training, riemod/_files.py")
    return tally


def _whole(place: Path) -> Path:
    """Return an undisturbed run; it is made if it is not there."""
    whole = place / "whole"
    if not whole.exists():
        assert command(train_command(whole), place / "output").wait().status == 0
    return whole


def places(count: int | None, place: Path, tally: Tally) -> Tally:
    """Try the first `count` bad places, or all: each command must end with status 2 and one line.

    Args:
        count: how many; all if None.
        place: a workplace; the finished run `whole` in it is made if it is not there.
        tally: counts them.

    Returns:
        The tally.
    """
    whole, scratch = _whole(place), place / "output"
    for what, prepare in islice(_bad_places(place, whole), count):
        arguments = prepare()
        problem = Child(partial(main, arguments), scratch).wait(30).problem(2)
        tally.record(f"{what}: riemod {arguments[0]}", problem, "riemod/training/folder.py")
    return tally


def _hindered(folder: Path, moment: int, how: str) -> None:
    """Train, with a disk that takes nothing more from that moment on."""

    def hinder(number: int) -> None:
        if number != moment:
            return
        if how == "full":
            resource.setrlimit(resource.RLIMIT_FSIZE, (64, resource.RLIM_INFINITY))
            return
        _heed_modes()
        for path in (*folder.rglob("*"), folder, *([] if folder.exists() else [folder.parent])):
            if path.exists():
                path.chmod(0o500 if path.is_dir() else 0o400)

    watch(folder, hinder, halve=False)
    main(train_command(folder))


def _heed_modes() -> None:
    """Take root's right to write where modes forbid it from this process."""
    libc = ctypes.CDLL(None, use_errno=True)
    header = (ctypes.c_uint32 * 2)(_CAPABILITIES, 0)
    words = (ctypes.c_uint32 * 6)()
    if libc.capget(header, words) != 0:
        raise OSError(ctypes.get_errno(), "capget")
    # Effective, permitted and inheritable, for capabilities 0 to 31.
    words[0] &= ~_IGNORE_MODES & 0xFFFFFFFF
    if libc.capset(header, words) != 0:
        raise OSError(ctypes.get_errno(), "capset")


def _make_writable(folder: Path) -> None:
    folder.parent.chmod(0o700)
    for path in (folder, *folder.rglob("*")):
        if path.exists():
            path.chmod(0o700 if path.is_dir() else 0o600)


def _last_checkpoint(folder: Path) -> str | None:
    """Say why the last checkpoint does not load; a run that never began has none."""
    if (folder / "config.json").is_file():
        try:
            load(RunFolder(folder))
        except Exception as error:
            return f"the last checkpoint does not load: {type(error).__name__}: {error}"
    return None


def _bad_places(place: Path, whole: Path) -> Iterator[tuple[str, Callable[[], list[str]]]]:
    """Yield what is wrong with a place, and what makes the place and returns the command that must be refused."""
    file, loop, dangling = place / "file", place / "loop", place / "dangling"
    file.write_text("x")
    loop.symlink_to(loop)
    dangling.symlink_to(place / "nowhere" / "deep")
    outs = {
        "a file": str(file),
        "below a file": str(file / "run"),
        "in /proc": "/proc/riemod-run",
        "in /sys": "/sys/riemod-run",
        "below /dev/null": "/dev/null/run",
        "a loop of links": str(loop),
        "below a loop of links": str(loop / "run"),
        "a name of 300 letters": str(place / ("x" * 300)),
        "a path of 5,000 letters": str(place) + "/x" * 2500,
        "a name with a null byte": f"{place}/a\0b",
    }
    for what, out in outs.items():
        yield f"out is {what}", partial(train_command, out)
        if what != "a name with a null byte":
            yield f"out is {what}", partial(list, ["compress", str(whole), "--out", out])
            yield f"out is {what}", partial(list, ["lottery", str(whole), "--out", out, "--quiet"])
            yield f"run is {what}", partial(list, ["show", out])
            yield f"run is {what}", partial(list, ["resume", out, "--quiet"])
    reads = {
        "config.json": ("resume", "evaluate"),
        "record.json": ("resume",),
        "checkpoint/latest.json": ("resume", "evaluate"),
    }
    for name, verbs in reads.items():
        for verb in verbs:
            yield f"{name} is a folder", partial(_with_a_folder, place, whole, name, verb)
    yield "checkpoint is a file", partial(_with_a_file, place, whole)


def _with_a_folder(place: Path, whole: Path, name: str, verb: str) -> list[str]:
    copy = place / f"copy-{name.replace('/', '-')}-{verb}"
    shutil.copytree(whole, copy)
    (copy / name).unlink()
    (copy / name).mkdir()
    return [verb, str(copy)]


def _with_a_file(place: Path, whole: Path) -> list[str]:
    copy = place / "copy-checkpoint"
    shutil.copytree(whole, copy)
    shutil.rmtree(copy / "checkpoint")
    (copy / "checkpoint").write_text("x")
    (copy / "record.json").unlink()
    return ["resume", str(copy), "--quiet"]


LONG = {"epochs": 40, "tail_epochs": 10}


def _rows(folder: Path) -> int:
    file = folder / "metrics.jsonl"
    return len(file.read_bytes().splitlines()) if file.is_file() else 0


def _wait_for_rows(folder: Path, rows: int) -> None:
    until = time.monotonic() + 60
    while _rows(folder) < rows and time.monotonic() < until:
        time.sleep(0.005)


def _second_resume(folder: Path, scratch: Path) -> str | None:
    """A second process wants to go on with a run that another one is training."""
    whole = folder.with_name("whole-long")
    command(train_command(whole, **LONG), scratch).wait()
    first = command(train_command(folder, **LONG), scratch)
    _wait_for_rows(folder, 2)
    # So that the second process finds the first one alive.
    os.kill(first.pid, signal.SIGSTOP)
    second = command(["resume", str(folder), "--quiet"], scratch).wait(30)
    os.kill(first.pid, signal.SIGCONT)
    problem = second.problem(2) or (None if str(first.pid) in second.errors else f"names no process: {second.errors}")
    return problem or first.wait().problem(0) or difference(folder, whole)


def _both_train(folder: Path, scratch: Path) -> str | None:
    children = [command(train_command(folder), scratch) for _ in range(2)]
    return _one_of(children, folder)


def _both_resume(folder: Path, scratch: Path) -> str | None:
    child = command(train_command(folder, **LONG), scratch)
    _wait_for_rows(folder, 2)
    os.kill(child.pid, signal.SIGKILL)
    child.wait()
    children = [command(["resume", str(folder), "--quiet"], scratch) for _ in range(2)]
    return _one_of(children, folder)


def _one_of(children: list[Child], folder: Path) -> str | None:
    ends = sorted((child.wait() for child in children), key=lambda end: end.status)
    if [end.status for end in ends] != [0, 2]:
        return f"one of two must be refused: statuses {[end.status for end in ends]}, rows {_rows(folder)}"
    return ends[1].problem(2)
