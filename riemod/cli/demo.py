"""The demo: a net that nobody told of a torus, the torus in its states, and nets whose units live on it, pruned."""

import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from riemod.cli.tables import comparison_table
from riemod.training import RunError, RunFolder, compress_run, load

UNTOLD, PLAIN, MAP = "untold", "no penalty", "on the torus"
_TASK = ("train", "navigation", "--preset", "map-torus", "--threads", "1", "--quiet")
_NOTHING_LEARNED = ("--manifold", "none", "--law", "unsigned", "--evidence", "weights", "--strength", "0", "--no-learn")
_PRUNED = ("--sparsity", "0.9", "--dense-epochs", "4", "--tail-epochs", "6")
_OPTIONS = {UNTOLD: _NOTHING_LEARNED, PLAIN: (*_NOTHING_LEARNED, *_PRUNED), MAP: _PRUNED}
# The runs are over before kernels of the penalty would have paid for their compilation.
_ENVIRONMENT = {"TORCHDYNAMO_DISABLE": "1"}
_OPENING = """\
Three small nets learn to follow a walk through an arena whose opposite walls are joined: a torus.
1. Two of them know nothing of a torus. Persistence of the hidden states of one says which manifold they fill.
2. The third learns a place on a torus for each of its units, and pays for weights by distance.
3. Two nets are pruned to 90 % of zeros; one of them is compressed, and timed.
On two quiet CPU cores this takes about a minute and a half.
"""


def run_demo(out: Path, console: Console, options: tuple[str, ...] = (), nulls: int = 59) -> None:
    """Train, find the torus, learn points on it, prune, compress; print what was found and draw one figure.

    1. Two nets learn navigation in an arena that is a torus: one dense, one pruned to 90 %. Neither has a penalty.
    2. Persistence of the dense net's hidden states, against null data, says which manifold they fill.
    3. A third net pays by distance on a torus, on which its units' points follow co-activity; it is pruned to 90 %.
    4. That net is compressed, and its forward pass timed before and after, in turn.

    Args:
        out: folder of the three runs, of the compressed net and of figures/; finished runs in it are kept, and
            unfinished ones are resumed.
        console: where to print.
        options: more options of `riemod train navigation`, for all three nets.
        nulls: number of null data sets of each kind; at least 39 for p-values that can be significant.

    Raises:
        RunError: if a training process fails.
    """
    # scikit-learn, SciPy and matplotlib are slow to import; the nets train meanwhile.
    began = time.perf_counter()
    console.print(_OPENING, highlight=False)
    torch.set_num_threads(1)
    folders = {name: RunFolder(out / name.replace(" ", "-")) for name in _OPTIONS}

    def train(*names: str) -> None:
        commands = {name: [*_TASK, *_OPTIONS[name], *options, "--out", str(folders[name].path)] for name in names}
        _train_side_by_side({name: folders[name] for name in names}, commands, console)

    train(UNTOLD, PLAIN)
    from riemod.cli import demo_results as results

    verdict = results.find_manifold(load(folders[UNTOLD]), nulls)
    console.print(f"\n[bold]hidden states of the net that nobody told of a torus[/bold]\n{verdict.report()}\n")
    if verdict.manifold_ != "torus":
        console.print("This is not the arena's torus. The points below are learned on a torus all the same.\n")
    train(MAP)
    records = {name: folder.read_record() for name, folder in folders.items()}
    console.print(comparison_table("navigation in a torus arena", records))
    learned = load(folders[MAP])
    compressed = out / "compressed"
    if not (compressed / "compression.json").is_file():
        compress_run(learned, compressed)
    found = results.measure(folders, verdict, compressed)
    for line in found.lines():
        console.print(line)
    figure = results.draw(found, out / "figures" / "demo.png")
    console.print(f"done in {time.perf_counter() - began:.0f} s; one figure shows it all: {figure}\n")
    console.print("what to look at next:")
    looks = {"analyze": "states, tuning and points, with figures", "show": "all that was recorded"}
    for command, what in looks.items():
        console.print(f"  riemod {command} {folders[MAP].path}  # {what}", soft_wrap=True)


def _train_side_by_side(folders: dict[str, RunFolder], commands: dict[str, list[str]], console: Console) -> None:
    processes: dict[str, subprocess.Popen[bytes]] = {}
    columns = (TextColumn("{task.description:20}"), BarColumn(), MofNCompleteColumn(), TextColumn("epochs"))
    try:
        with Progress(*columns, TimeElapsedColumn(), TextColumn("{task.fields[level]}"), console=console) as progress:
            bars = {name: progress.add_task(name, total=None, level="") for name in commands}
            for name, command in commands.items():
                folder = folders[name]
                if not folder.record_file.is_file():
                    started = folder.config_file.is_file()
                    arguments = ["resume", str(folder.path), "--quiet"] if started else command
                    processes[name] = subprocess.Popen(
                        [sys.executable, "-m", "riemod", *arguments], env=os.environ | _ENVIRONMENT
                    )
            while True:
                running = [process for process in processes.values() if process.poll() is None]
                for name, bar in bars.items():
                    progress.update(bar, **_state(folders[name]))
                if not running:
                    break
                time.sleep(0.5)
    finally:
        for process in processes.values():
            process.kill()
            process.wait()
    if failed := [name for name, process in processes.items() if process.returncode]:
        raise RunError(f"training failed: {', '.join(failed)}; its message is above")


def _state(folder: RunFolder) -> dict[str, Any]:
    """Return how far a run is, for the bar of its progress."""
    if not folder.config_file.is_file():
        return {}
    rows, total = folder.read_metrics(), folder.read_description().config.training.epochs
    level = f"{rows[-1]['eval_error_maximum_likelihood']:.1f} cm at {rows[-1]['sparsity']:.0%} zeros" if rows else ""
    return {"completed": len(rows), "total": total, "level": level}
