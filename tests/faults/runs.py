"""The smallest runs there are, and what tells two of them apart."""

import json
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import jaxtyping
import torch
from torch import Tensor

from riemod import _signals
from riemod.cli.commands import main
from riemod.training import RunFolder, load
from tests.faults.moments import watch
from tests.faults.processes import Child

SHAPE: dict[str, Any] = {
    "hidden-size": 6,
    "steps": 4,
    "batch-size": 8,
    "epochs": 3,
    "batches-per-epoch": 4,
    "tail-epochs": 1,
    "evaluation-batches": 2,
    "manifold": "torus",
    "sparsity": 0.75,
    "threads": 1,
}


@contextmanager
def workplace() -> Iterator[Path]:
    """Give an empty folder, and torch and the run-time types as a user of the command line has them."""
    threads, types_off = torch.get_num_threads(), jaxtyping.config.jaxtyping_disable
    torch.set_num_threads(1)
    # tyro's marks of missing values have no type that a run-time check would let through.
    jaxtyping.config.update("jaxtyping_disable", True)
    try:
        with tempfile.TemporaryDirectory(prefix="riemod-faults-") as folder:
            # What is loaded at its first use is loaded before the first fork.
            main(train_command(Path(folder) / "warm", epochs=2, tail_epochs=0))
            yield Path(folder)
    finally:
        torch.set_num_threads(threads)
        jaxtyping.config.update("jaxtyping_disable", types_off)


def train_command(out: Path | str, **changes: Any) -> list[str]:
    """Return the command line of such a run; every option can be changed."""
    options = SHAPE | {name.replace("_", "-"): value for name, value in changes.items()}
    words = [word for name, value in options.items() for word in (f"--{name}", str(value))]
    return ["train", "adding", "--preset", "smoke", "--learn", *words, "--out", str(out), "--quiet"]


def go_on(folder: Path, **changes: Any) -> list[str]:
    """Return what a user types after a kill: resume what is there, and begin what never was."""
    if (folder / "config.json").is_file():
        return ["resume", str(folder), "--quiet"]
    return train_command(folder, **changes)


def command(arguments: list[str], scratch: Path) -> Child:
    """Start the command line in a forked process, which answers signals from its first moment on, as `riemod` does."""
    return Child(lambda: main(arguments), scratch, before=_signals._answer)


def count_moments(folder: Path, scratch: Path, halve: bool = True) -> int:
    """Return the number of moments of a write in an undisturbed run, which is deleted again."""
    counter = scratch / "moments"

    def counted() -> None:
        last = 0

        def count(number: int) -> None:
            nonlocal last
            last = number

        watch(folder, count, halve)
        main(train_command(folder))
        counter.write_text(str(last))

    assert Child(counted, scratch).wait().status == 0
    shutil.rmtree(folder)
    return int(counter.read_text())


def bits(folder: Path) -> dict[str, Tensor]:
    """Return every number that training changed: weights, masks, points, and the optimizer's state."""
    run = load(RunFolder(folder))
    tensors = {
        f"{key}/{name}": value for key, module in run.modules.items() for name, value in module.state_dict().items()
    }
    for member, state_dict in enumerate(run.optimizer.state_dict()["members"]):
        for parameter, state in state_dict["state"].items():
            for name, value in state.items():
                tensors[f"optimizer/{member}/{parameter}/{name}"] = torch.as_tensor(value)
    return tensors


def difference(folder: Path, reference: Path) -> str | None:
    """Say in what a finished run differs from an undisturbed one; None if it ended with the same bits."""
    try:
        ours, theirs = bits(folder), bits(reference)
    except Exception as error:
        return f"{type(error).__name__}: {error}"
    if ours.keys() != theirs.keys():
        return f"other tensors: {sorted(ours.keys() ^ theirs.keys())}"
    for name, value in ours.items():
        if value.dtype != theirs[name].dtype or not torch.equal(value, theirs[name]):
            return f"{name} differs by {(value.double() - theirs[name].double()).abs().max():.3g}"
    if (folder / "metrics.jsonl").read_bytes() != (reference / "metrics.jsonl").read_bytes():
        return "metrics.jsonl differs"
    if not (folder / "record.json").is_file():
        return "there is no record.json"
    own, other = (json.loads((path / "record.json").read_text()) for path in (folder, reference))
    keys = (key for key in ("metrics", "sparsity", "zeros") if own[key] != other[key])
    return next((f"{key} of record.json differs" for key in keys), None)


def litter(folder: Path) -> str | None:
    """Name a file that a killed process left for good: a partial one, or the tensors of an old checkpoint."""
    partial = sorted(path.name for path in folder.rglob("*.partial"))
    tensors = sorted(path.name for path in (folder / "checkpoint").glob("*.safetensors"))
    if partial:
        return f"left behind: {', '.join(partial)}"
    return None if len(tensors) == 1 else f"left behind: {len(tensors)} checkpoints, {', '.join(tensors)}"
