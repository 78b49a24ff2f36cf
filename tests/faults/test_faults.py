"""The short form of `make faults`: some ten attempts of each kind, and a look at the instruments themselves."""

import signal
import subprocess
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch

import riemod
from tests.faults import __main__ as faults
from tests.faults import calls, disks, kills, memory, nonfinite, optimizers, signals
from tests.faults.bad import ANYWHERE, variants
from tests.faults.processes import Child, End
from tests.faults.rooms import LEFT_OUT, ROOMS
from tests.faults.runs import workplace
from tests.faults.tally import Failure, Tally, table
from tests.faults.uses import every_call, public_names
from tests.faults.valid import Call


def failures(tally: Tally) -> list[Failure]:
    assert tally.tried > 0
    return tally.failures


def test_kills_at_ten_moments_of_a_write():
    assert failures(kills.run(10, share_of_writes=1.0, twice=False)) == []


def test_numbers_that_are_not_finite():
    assert failures(nonfinite.run(10, moments=nonfinite.MOMENTS[-1:])) == []


def test_bad_calls_of_three_rooms():
    assert failures(calls.run(100, only=r"(plotting|masks|manifolds)\.")) == []


def test_sections_run_side_by_side():
    command = [sys.executable, "-m", "tests.faults", "signals", "calls", "--count", "2", "--jobs", "2"]
    done = subprocess.run(command, cwd=Path(__file__).parents[2], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "signals" in done.stdout
    assert "calls" in done.stdout


@pytest.mark.slow
@pytest.mark.parametrize("seed", [1, 2])
def test_bad_calls_of_every_room(seed: int):
    assert failures(calls.run(600, seed)) == []


def test_output_to_a_full_disk():
    with workplace() as place:
        assert failures(disks.full_outputs(place, Tally("disks"))) == []


def test_two_signals():
    assert failures(signals.run(2)) == []


def test_disks_that_are_full_or_read_only_from_a_moment_on():
    with workplace() as place:
        assert failures(disks.hindered(4, place, Tally("disks"))) == []


def test_pruned_weights_under_optimizers_that_work_entry_by_entry():
    assert (
        failures(optimizers.run(7, only="Lion|Adan|LaProp|AdaFactor|accelerate|Averaged|GradScaler|state dicts")) == []
    )


def test_places_where_no_run_can_be():
    with workplace() as place:
        assert failures(disks.places(10, place, Tally("disks"))) == []


def test_memory_of_a_thousand_steps():
    with workplace():
        assert failures(memory.run(1000)) == []


def test_the_table_counts_and_groups_failures(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch):
    tally = Tally("kills", seconds=2.9)
    for number, outcome in enumerate((None, "it broke", None, "it broke too")):
        tally.record(f"attempt {number}", outcome, "riemod/_files.py")
    assert table([tally]).splitlines()[1].split() == ["kills", "4", "2", "2", "3"]
    assert table([tally, tally]).splitlines()[3].split() == ["all", "8", "4", "4", "6"]
    assert "kills: riemod/_files.py (2)" in table([tally])
    monkeypatch.setattr(faults, "run_section", lambda *_, **__: tally)
    monkeypatch.setattr("sys.argv", ["faults", "kills"])
    with pytest.raises(SystemExit) as end:
        faults.main()
    assert end.value.code == 1
    assert "it broke too" in capsys.readouterr().out


def raises(error: Exception) -> Callable[..., Any]:
    def function(size: int) -> None:
        raise error

    return function


@pytest.mark.parametrize(
    ("function", "survives"),
    [
        (raises(ValueError("size must be an integer >= 1, got None")), True),
        (raises(TypeError("size must be an integer, got None")), True),
        (raises(ValueError("something is wrong")), False),
        (raises(AttributeError("size")), False),
        (raises(OverflowError("size must be smaller")), False),
        (raises(TypeError("'<' not supported between instances of 'str' and 'size'")), False),
        (lambda size: torch.tensor(float("nan")), False),
        (lambda size: [1.0, {"a": torch.ones(2)}], True),
    ],
)
def test_the_judge_of_calls_tells_good_errors_from_bad_ones(function: Callable[..., Any], survives: bool):
    call = Call("room.function", function, {"size": lambda: 3}, lambda result: result)
    assert (calls.judge(calls.Case(call, "size", "None", lambda: None)) is None) == survives


def test_the_judge_of_calls_sees_what_a_refused_call_has_changed():
    def function(layer: torch.nn.Linear, size: int) -> None:
        with torch.no_grad():
            layer.weight.fill_(size)
        raise ValueError("size must be an integer >= 1, got 0")

    layer = torch.nn.Linear(2, 2)
    call = Call("room.function", function, {"layer": lambda: layer, "size": lambda: 3}, lambda result: result)
    outcome = calls.judge(calls.Case(call, "size", "0", lambda: 0))
    assert outcome is not None
    assert outcome[0] == "is refused, but has changed layer"


def test_every_room_of_the_library_is_attacked():
    swept = {id(getattr(room, name)) for room in ROOMS.values() for name in public_names(room)}
    for name in riemod.__all__:
        public = getattr(riemod, name)
        if isinstance(public, ModuleType):
            assert public in ROOMS.values() or name == "integrations", name  # whose callbacks are among the methods
        else:
            assert id(public) in swept, name
    for name in LEFT_OUT:
        room, _, attribute = name.rpartition(".")
        assert attribute in public_names(ROOMS[room]), name


@pytest.mark.slow
def test_every_public_callable_has_valid_arguments():
    assert len(every_call()) > 150


def test_bad_calls_are_drawn_evenly_and_the_same_from_one_seed():
    call = Call("room.f", lambda a, b: None, {"a": lambda: 1, "b": lambda: 2}, lambda result: result)
    cases = [calls.Case(call, argument, label, make) for argument in "ab" for label, make in ANYWHERE.items()]
    chosen = calls.choose(cases, 10, 0)
    assert [case.argument for case in chosen].count("a") == 5
    assert list(map(str, chosen)) == list(map(str, calls.choose(cases, 10, 0)))
    assert list(map(str, chosen)) != list(map(str, calls.choose(cases, 10, 1)))


def test_variants_of_a_valid_value_are_labeled_once():
    for valid in (torch.ones(2, 2), torch.ones(2, 2).numpy(), torch.nn.Linear(2, 2), [1, 2], {"a": 1}, 1.5):
        labels = [label for label, _ in variants(valid)]
        assert len(labels) == len(set(labels)) > 0


def test_children_report_status_and_standard_error(tmp_path: Path):
    def fails() -> None:
        raise SystemExit(2)

    assert Child(lambda: None, tmp_path).wait() == End(0, "")
    assert Child(fails, tmp_path).wait().status == 2
    broken = Child(partial(int, "x"), tmp_path).wait()
    assert "traceback" in str(broken.problem(1))
    assert End(2, "one\ntwo\n").problem(2) == "status 2 with 2 lines on standard error: one | two"
    sleeper = Child(signal.pause, tmp_path)
    sleeper.signal_after(0.2, signal.SIGTERM)
    assert sleeper.wait().status == -signal.SIGTERM
