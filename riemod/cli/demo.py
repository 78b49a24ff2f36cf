"""The demo: navigation nets pruned to 90 %, one on a learned torus and one without, then the ticket of the first."""

import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from torch import Tensor

from riemod.cli.tables import comparison_table
from riemod.manifolds import Euclidean, Torus
from riemod.tasks.navigation import Navigation, NavigationModel
from riemod.training import Run, RunError, RunFolder, Stream, generator_for, load

if TYPE_CHECKING:
    from riemod.plotting import Axes

TORUS, PLAIN, TICKET = "learned torus", "no regularizer", "ticket of the torus"
EPOCHS = 32
_OPTIONS = (
    *("--preset", "cpu", "--sparsity", "0.9", "--threads", "1", "--quiet"),
    *("--epochs", str(EPOCHS), "--dense-epochs", "9", "--tail-epochs", "11"),
)
# No run of the demo has this seed, so its streams are free for walks.
_DECODED_SEED = 3


def run_demo(out: Path, console: Console) -> None:
    """Train both nets side by side, then the ticket of the torus net; print a comparison and draw figures.

    Args:
        out: folder of the three runs and of figures/; finished runs in it are kept, and unfinished ones are resumed.
        console: where to print.

    Raises:
        RunError: if a training process fails.
    """
    began = time.perf_counter()
    folders = {name: RunFolder(out / name.replace(" ", "-")) for name in (TORUS, PLAIN, TICKET)}
    train = ["train", "navigation", *_OPTIONS]
    commands = {
        TORUS: [*train, "--manifold", "torus", "--learn", "--out", str(folders[TORUS].path)],
        PLAIN: [*train, "--out", str(folders[PLAIN].path)],
    }
    _train_side_by_side(folders, commands, console)
    lottery = ["lottery", str(folders[TORUS].path), "--out", str(folders[TICKET].path), "--threads", "2", "--quiet"]
    _train_side_by_side(folders, {TICKET: lottery}, console)
    records = {name: folder.read_record() for name, folder in folders.items()}
    console.print(comparison_table(f"navigation at 90 % sparsity, cpu preset with {EPOCHS} epochs, seed 0", records))
    for path in draw_figures({name: folders[name] for name in (TORUS, PLAIN)}, out / "figures"):
        console.print(f"figure {path}")
    console.print(f"done in {time.perf_counter() - began:.0f} s")


def draw_figures(folders: dict[str, RunFolder], out: Path) -> list[Path]:
    """Draw positions on the torus, the weight matrix, error against sparsity, and a decoded walk: five PNG files.

    Args:
        folders: finished navigation runs by name; at least one of them is on a torus.
        out: folder of the figures; made if it is missing.

    Returns:
        The files: one for each figure, then one with all four.
    """
    # matplotlib is slow to import, and only figures need it.
    from riemod import plotting

    runs = {name: load(folder) for name, folder in folders.items()}
    torus_run = next(run for run in runs.values() if run.moduli is not None)
    task, model, moduli = torus_run.task, torus_run.model, torus_run.moduli
    assert isinstance(task, Navigation)
    assert isinstance(model, NavigationModel)
    assert moduli is not None
    points, torus, side = moduli.points, moduli.embeddings[0].manifold, task.config.side
    assert isinstance(torus, Torus)
    colors = plotting.position_colors(places_of_units(task, model), side)
    errors = {
        name: [(row["sparsity"], row["eval_error_top3"]) for row in folder.read_metrics()]
        for name, folder in folders.items()
    }
    floor = next(iter(folders.values())).read_record()["levels"]["error_top3 of a perfect net"]["value"]
    true, decoded = _decoded_walk(runs)
    order = plotting.torus_order(points, torus)
    weight = model.rnn.get_parameter("weight_hh_l0")

    def positions(ax: "Axes") -> None:
        plotting.plot_torus_points(points, torus, colors, ax).set_title(
            "learned positions, colored by preferred position"
        )
        key = plotting.plot_position_key(side, ax.inset_axes((1.03, 0.68, 0.3, 0.3)))
        key.set(xticks=[], yticks=[], xlabel="arena", ylabel="")

    def matrix(ax: "Axes") -> None:
        plotting.plot_weight_matrix(weight, order, ax).set_title("recurrent weights, neurons ordered along the torus")

    def sparsity(ax: "Axes") -> None:
        plotting.plot_error_against_sparsity(errors, floor, "cm", ax).set_title("top-3 error while pruning")

    def walk(ax: "Axes") -> None:
        plotting.plot_trajectory(true, decoded, side, ax).set_title("one walk, maximum-likelihood decoded, 90 % sparse")

    panels = {"positions": positions, "weights": matrix, "error": sparsity, "walk": walk}
    return plotting.save_panels(panels, out, together="demo")


@torch.no_grad()
def places_of_units(task: Navigation, model: NavigationModel, walks: int = 500) -> Tensor:
    """Compute the preferred position of each hidden unit from its rate map over the box, m.

    Args:
        task: gives the walks and the box.
        model: trained on it.
        walks: number of random walks that the rate maps are made from.

    Returns:
        (n, 2), float64; NaN for units whose rate does not vary.
    """
    # SciPy's statistics are slow to import, and only figures need them.
    from riemod.tuning import preferred_positions, rate_maps, regular_bins

    half = task.config.side / 2
    bins = regular_bins(Euclidean(2, task.config.side), 15, (-half, half))
    trajectories = task.walks(walks, generator_for(task.device, Stream.WEIGHTS, _DECODED_SEED))
    states = model.hidden_states(task.cells.code(trajectories.start), trajectories.velocity).flatten(0, 1)
    maps = rate_maps(states.cpu(), trajectories.position.flatten(0, 1).cpu(), bins, smoothing=task.config.width)
    places = torch.full((states.shape[1], 2), torch.nan, dtype=torch.float64)
    if maps.varying.any():
        places[torch.from_numpy(maps.varying)] = preferred_positions(maps.only(maps.varying))
    return places


@torch.no_grad()
def _decoded_walk(runs: dict[str, Run]) -> tuple[Tensor, dict[str, Tensor]]:
    task = next(iter(runs.values())).task
    assert isinstance(task, Navigation)
    walk = task.walks(1, generator_for(task.device, Stream.POINTS, _DECODED_SEED))
    start_code = task.cells.code(walk.start)
    scores = {name: run.model(start_code, walk.velocity)[:, 0] for name, run in runs.items()}
    true = torch.cat((walk.start, walk.position[:, 0]))
    return true, {name: task.cells.decode_maximum_likelihood(value) for name, value in scores.items()}


def _train_side_by_side(folders: dict[str, RunFolder], commands: dict[str, list[str]], console: Console) -> None:
    processes: dict[str, subprocess.Popen[bytes]] = {}
    columns = (TextColumn("{task.description:20}"), BarColumn(), MofNCompleteColumn(), TextColumn("epochs"))
    try:
        with Progress(*columns, TimeElapsedColumn(), TextColumn("{task.fields[level]}"), console=console) as progress:
            bars = {name: progress.add_task(name, total=EPOCHS, level="") for name in commands}
            for name, command in commands.items():
                folder = folders[name]
                if not folder.record_file.is_file():
                    started = folder.config_file.is_file()
                    arguments = ["resume", str(folder.path), "--quiet"] if started else command
                    processes[name] = subprocess.Popen([sys.executable, "-m", "riemod", *arguments])
            while True:
                running = [process for process in processes.values() if process.poll() is None]
                for name, bar in bars.items():
                    rows = folders[name].read_metrics()
                    level = f"{rows[-1]['eval_error_top3']:.1f} cm at {rows[-1]['sparsity']:.0%}" if rows else ""
                    progress.update(bar, completed=len(rows), level=level)
                if not running:
                    break
                time.sleep(0.5)
    finally:
        for process in processes.values():
            process.kill()
            process.wait()
    if failed := [name for name, process in processes.items() if process.returncode]:
        raise RunError(f"training failed: {', '.join(failed)}; its message is above")
