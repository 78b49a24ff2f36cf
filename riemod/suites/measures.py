"""What the nets of a suite cost to run: multiply-adds, bytes, and seconds, measured on the nets that were trained."""

import copy
import warnings
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple, TypedDict

import torch
from torch import nn

from riemod import sparse
from riemod._checks import check_type
from riemod._files import write_json
from riemod._untrusted import Amount, Count, DamagedFile, Share, check_shape, one_line, parse_json, read_bytes
from riemod.sparse.timing import paired_seconds
from riemod.suites.errors import SuiteError
from riemod.suites.plan import PlannedRun, Suite
from riemod.suites.rows import read_row, run_folder
from riemod.tasks import task_class
from riemod.training import Run, environment, load
from riemod.training.compression import arguments_of_call, reorder_units, stored_bytes
from riemod.training.seeds import Stream, generator_for

__all__ = ["BATCHES", "Cost", "measure", "read_measures"]

BATCHES = (1, 32)
"""Sizes of the batches that are timed."""
ROUNDS = 15
"""The number of times that each net is timed, all of them in turn; the least time counts."""
FILE = "measured.json"
_LARGEST_FILE = 2**24


class _Form(TypedDict):
    bytes: Count
    seconds: dict[str, Amount]


class _Net(TypedDict):
    arm: str
    sparsity: Share
    seed: Count
    key: str
    multiply_adds: Count
    forms: dict[str, _Form]


class _Measured(TypedDict):
    nets: list[_Net]


class Cost(NamedTuple):
    """Says what a net costs, in the form that is best for each."""

    multiply_adds: int
    """Of a sequence's step: kept weights of all matrices."""
    stored_bytes: int
    """Of weights and indices, in the smallest form."""
    seconds: Mapping[int, float]
    """Of a batch of sequences, by its size, on one thread, in the fastest form."""
    fastest: Mapping[int, str]
    """That form: dense, csr, or blocks of a size."""


def measure(suite: Suite, folder: Path, rounds: int = ROUNDS) -> Path:
    """Measure the nets of a suite's finished runs, each dense, and if it is pruned also in its sparse forms.

    The forms of a pruned net are "csr", its kept weights by rows, and "blockB" if it was pruned in blocks of B, with
    its units in the order of these blocks. Each runs on one thread. All nets and forms are timed in turn, so that a
    slow moment of the machine meets them alike, and the least of the times counts.

    Args:
        suite: from `load_suite`.
        folder: of its results, where its runs were trained.
        rounds: number of times that each net is timed.

    Returns:
        The file that was written beside the suite's records, which `read_measures` reads.

    Raises:
        SuiteError: no run of the suite is finished, or the net of one that is is not in the folder.
        RunError: a net cannot be read.
    """
    check_type("suite", suite, Suite, "a Suite, as load_suite returns it")
    check_type("folder", folder, Path, "a Path")
    finished = [run for run in suite.runs if read_row(suite, folder, run) is not None]
    if not finished:
        raise SuiteError(f"{folder} has no finished run of suite {suite.name!r} at preset {suite.preset!r}")
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        nets = [(run, _forms(_loaded(run, folder))) for run in finished]
        seconds = {size: _seconds(nets, size, rounds) for size in BATCHES}
    finally:
        torch.set_num_threads(threads)
    content = {
        "suite": {"name": suite.name, "preset": suite.preset},
        "rounds": rounds,
        "threads": 1,
        "nets": [
            {
                "arm": run.arm,
                "sparsity": run.sparsity,
                "seed": run.seed,
                "key": run.key,
                "multiply_adds": _multiply_adds(forms["dense"]),
                "forms": {
                    name: {
                        "bytes": stored_bytes(model),
                        "seconds": {str(size): seconds[size][f"{run.key} {name}"] for size in BATCHES},
                    }
                    for name, model in forms.items()
                },
            }
            for run, forms in nets
        ],
        **environment(),
    }
    path = _file(suite, folder)
    write_json(path, content)
    return path


def read_measures(suite: Suite, folder: Path) -> dict[str, Cost]:
    """Return what each net of a suite that was measured costs, by the key of its run.

    Raises:
        SuiteError: nothing was measured, or the file is damaged.
    """
    path = _file(suite, folder)
    if not path.is_file():
        raise SuiteError(
            f"{path} is missing: riemod measure {suite.name} --preset {suite.preset} --results {folder} measures the "
            "nets of finished runs"
        )
    try:
        content = parse_json(read_bytes(path, _LARGEST_FILE), allow_nan=False)
        check_shape(content, _Measured)
        return {net["key"]: _cost(net) for net in content["nets"]}
    except DamagedFile as error:
        raise SuiteError(f"{path} is damaged: {one_line(error)}") from error


def _cost(net: Mapping[str, Any]) -> Cost:
    forms: dict[str, Any] = net["forms"]
    for form in forms.values():
        if missing := [size for size in BATCHES if str(size) not in form["seconds"]]:
            raise DamagedFile(f"seconds must be there for batches of {missing[0]}")
    if not forms:
        raise DamagedFile("forms must have at least one, got none")
    fastest = {size: min(forms, key=lambda name, size=size: forms[name]["seconds"][str(size)]) for size in BATCHES}
    return Cost(
        net["multiply_adds"],
        min(form["bytes"] for form in forms.values()),
        {size: forms[name]["seconds"][str(size)] for size, name in fastest.items()},
        fastest,
    )


def _file(suite: Suite, folder: Path) -> Path:
    return folder / suite.runs[0].records / FILE


def _loaded(run: PlannedRun, folder: Path) -> Run:
    own = run_folder(folder, run)
    if not own.has_checkpoint:
        raise SuiteError(
            f"{folder} has the record of {run.arm!r}, {100 * run.sparsity:g} %, seed {run.seed}, but not its net, in "
            f"{own.path}: measure where it was trained"
        )
    return load(own)


def _forms(run: Run) -> dict[str, nn.Module]:
    """Return the net in each of its forms, by name."""
    model = copy.deepcopy(run.model).eval()
    forms = {"dense": model}
    pruned = [name for name, share in run.pruner.sparsity().items() if share > 0 and name != "total"]
    if not pruned:
        return forms
    forms["csr"] = _compressed(model, dict.fromkeys(pruned, "csr"))
    if size := run.config.masks.blocks:
        ordered = copy.deepcopy(model)
        reorder_units(run, ordered, "geometric")
        hidden = [f"{name}.weight_hh_l0" for name in _layers(run, ordered)]
        layouts = dict.fromkeys(pruned, "csr") | dict.fromkeys(hidden, f"block{size}")
        forms[f"block{size}"] = _compressed(ordered, layouts)
    return forms


def _compressed(model: nn.Module, layouts: Mapping[str, str]) -> nn.Module:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of layers that stay dense, which are counted as such
        return sparse.compress(model, layouts)


def _layers(run: Run, model: nn.Module) -> list[str]:
    names = {part: name for name, part in model.named_modules()}
    return [names[units.layer] for units in run.task.hidden_units(model)]


def _multiply_adds(model: nn.Module) -> int:
    return sum(int(weight.count_nonzero()) for weight in model.parameters() if weight.ndim > 1)


def _seconds(nets: list[tuple[PlannedRun, dict[str, nn.Module]]], size: int, rounds: int) -> dict[str, float]:
    """Return the least seconds of a batch of that size, by key and form."""
    calls: dict[str, Callable[[], object]] = {}
    for run, forms in nets:
        task = task_class(run.task).of_run(run.config.replace(batch_size=size), Path())
        batch = next(iter(task.batches(generator_for(task.device, Stream.EVALUATION, 0), 1)))
        example = arguments_of_call(
            forms["dense"], [lambda task=task, forms=forms, batch=batch: task.loss(forms["dense"], batch)]
        )
        for name, model in forms.items():
            calls[f"{run.key} {name}"] = lambda model=model, example=example: model(*example)
    return {name: min(times) for name, times in paired_seconds(calls, torch.device("cpu"), rounds).items()}
