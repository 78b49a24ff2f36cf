"""NaN and infinity in data, gradients, weights and points, while a run trains."""

import json
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from riemod.cli.commands import main
from riemod.tasks import Adding
from riemod.training import RunFolder, load
from riemod.training.run import Run
from tests.faults.processes import Child
from tests.faults.runs import SHAPE, train_command, workplace
from tests.faults.tally import Tally

BAD = {"NaN": float("nan"), "infinity": float("inf"), "-infinity": float("-inf"), "1e38": 1e38}
# The first step of all, one within the second epoch, and the last one of all.
MOMENTS = (0, SHAPE["batches-per-epoch"] + 1, SHAPE["epochs"] * SHAPE["batches-per-epoch"] - 1)


def run(count: int = 30, seed: int = 0, moments: Sequence[int] = MOMENTS) -> Tally:
    """Spoil one number of `count` runs at a step of training.

    A run survives if it ends as diverged, in one line with status 1, and its last checkpoint loads with finite numbers;
    or if it ends well, with finite numbers alone, for a value may be harmless. Where the points themselves were
    spoiled, an error that names them is right too.
    """
    tally, cases = Tally("nonfinite"), list(_cases(moments))
    # Spread over all cases; the seed moves where to begin.
    step = max(1, len(cases) // count)
    with workplace() as place:
        for number, (what, spoil) in enumerate(cases[seed % step :: step][:count]):
            folder = place / f"run-{number}"
            end = Child(partial(_spoiled, folder, spoil), place / "output").wait()
            named = what.split(" in ", 1)[1].startswith("points") and "points must" in end.errors
            problem = end.problem(0, 1, *((2,) if named else ()))
            tally.record(what, problem or _not_finite(folder), "riemod/training/loop.py")
    return tally


def _spoiled(folder: Path, spoil: Callable[[], object]) -> None:
    spoil()
    main(train_command(folder))


def _not_finite(folder: Path) -> str | None:
    """Name a number of the last checkpoint, the metrics or the record that is not finite."""
    loaded = load(RunFolder(folder))
    for key, module in loaded.modules.items():
        for name, value in module.state_dict().items():
            if value.is_floating_point() and not bool(torch.isfinite(value).all()):
                return f"{key}.{name} of the last checkpoint holds NaN or infinity"
    for state in loaded.optimizer.state.values():
        for name, value in state.items():
            if isinstance(value, Tensor) and not bool(torch.isfinite(value).all()):
                return f"the optimizer's {name} in the last checkpoint holds NaN or infinity"

    def refuse(constant: str) -> float:
        raise ValueError(constant)

    for file in (folder / "metrics.jsonl", folder / "record.json"):
        for line in file.read_text().splitlines() if file.suffix == ".jsonl" and file.is_file() else ():
            try:
                json.loads(line, parse_constant=refuse)
            except ValueError as error:
                return f"{file.name} holds {error}"
    if (folder / "record.json").is_file() and "NaN" in (folder / "record.json").read_text():
        return "record.json holds NaN"
    return None


def _cases(moments: Sequence[int]) -> Iterator[tuple[str, Callable[[], object]]]:
    """Yield what is spoiled, and what arranges that it will be."""
    for moment in moments:
        for name, value in BAD.items():
            for part, where in enumerate(("sequence", "target")):
                yield f"{name} in the {where} of step {moment}", partial(_in_data, moment, part, value)
            for parameter in ("rnn.weight_hh_l0", "rnn.bias_hh_l0", "decoder.weight", "points"):
                yield (
                    f"{name} in the gradient of {parameter} at step {moment}",
                    partial(_before_the_optimizer, moment, parameter, value, True),
                )
            for parameter in ("rnn.weight_hh_l0", "points"):
                yield (
                    f"{name} in {parameter} at step {moment}",
                    partial(_before_the_optimizer, moment, parameter, value, False),
                )


def _in_data(moment: int, part: int, value: float) -> None:
    original, seen = Adding.loss, 0

    def loss(self: Adding, model: torch.nn.Module, batch: Any) -> Tensor:
        nonlocal seen
        if model.training:
            if seen == moment:
                batch[part].view(-1)[0] = value
            seen += 1
        return original(self, model, batch)

    Adding.loss = loss


def _before_the_optimizer(moment: int, name: str, value: float, gradient: bool) -> None:
    """Spoil a parameter, or its gradient, before the optimizer's step of that number."""
    from riemod.training import loop

    original, seen = loop.train_step, 0

    def train_step(run: Run, batch: Any, set_gradients: Any) -> tuple[Tensor, Tensor]:
        nonlocal seen
        if seen == moment:
            parameter = _parameter(run, name)
            if gradient:
                parameter.register_hook(_spoil_once(value))
            else:
                with torch.no_grad():
                    parameter.view(-1)[0] = value
        seen += 1
        return original(run, batch, set_gradients)

    loop.train_step = train_step


def _parameter(run: Run, name: str) -> Tensor:
    if name != "points":
        return run.model.get_parameter(name)
    assert run.moduli is not None
    return next(parameter for parameter in run.moduli.parameters() if parameter.requires_grad)


def _spoil_once(value: float) -> Callable[[Tensor], Tensor]:
    done = False

    def spoil(gradient: Tensor) -> Tensor:
        nonlocal done
        if done:
            return gradient
        done = True
        gradient = gradient.clone()
        gradient.view(-1)[0] = value
        return gradient

    return spoil
