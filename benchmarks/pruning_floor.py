"""Count what global ranking leaves of each tensor, and what it costs: without a floor, with one, each tensor alone.

Small runs of the three tasks without a regularizer. "global, floor k" ranks all matrices together, but keeps the k
largest weights of each; "tensor" prunes each matrix to the same sparsity. The file has, for each run, the task's main
metric, and how many weights each matrix keeps.

In the committed numbers a floor is the k largest weights of a matrix alone. Since then it also holds the largest weight
of each row or column where these are few (`riemod.pruning.selection.keep_floor`).

python -m benchmarks.pruning_floor WIKITEXT    # a folder with train.txt, valid.txt and test.txt; some minutes
python -m benchmarks.pruning_floor --table     # print the table of the committed numbers
"""

import itertools
import json
import sys
import tempfile
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from riemod.tasks import task_class
from riemod.training import RunDescription, RunFolder, start, train

RECORD = Path(__file__).parent / "records" / "pruning_floor.json"
# Preset, what differs from it, and the metric (all are better when lower).
TASKS: dict[str, tuple[str, dict[str, Any], str]] = {
    "adding": ("smoke", {"hidden_size": 64, "epochs": 12, "batches_per_epoch": 60, "tail_epochs": 5}, "rmse"),
    "navigation": ("smoke", {"epochs": 12, "batches_per_epoch": 40, "tail_epochs": 5}, "error_top3"),
    "language": ("smoke", {"epochs": 6, "batches_per_epoch": 40, "tail_epochs": 2}, "perplexity"),
}
ARMS: dict[str, tuple[str, int]] = {
    "global, no floor": ("global", 0),
    "global, floor 1": ("global", 1),
    "global, floor 32": ("global", 32),
    "tensor": ("tensor", 1),
}
SPARSITIES, SEEDS = (0.9, 0.97), (0, 1)


def run_one(task: str, arm: str, sparsity: float, seed: int, data: str) -> dict[str, Any]:
    """Train one run and return its row."""
    preset, options, metric = TASKS[task]
    scope, floor = ARMS[arm]
    own = {"data": data} if task == "language" else {}
    config = task_class(task).presets[preset].replace(**options, **own, scope=scope, sparsity=sparsity, seed=seed)
    with tempfile.TemporaryDirectory() as folder:
        run = start(RunFolder(Path(folder) / "run"), RunDescription(task, config, None))
        run.pruner.floor = floor
        record = train(run)
    masks = run.pruner.masks()
    return {
        "task": task,
        "arm": arm,
        "sparsity": sparsity,
        "seed": seed,
        "metric": metric,
        **record["metrics"][metric],
        "kept": {name: [int(mask.count_nonzero()), mask.numel()] for name, mask in masks.items()},
    }


def run_all(data: str) -> None:
    """Train what is missing, and write the file after each run."""
    rows = json.loads(RECORD.read_text()) if RECORD.exists() else []
    done = {(row["task"], row["arm"], row["sparsity"], row["seed"]) for row in rows}
    for seed, task, sparsity, arm in itertools.product(SEEDS, TASKS, SPARSITIES, ARMS):
        if (task, arm, sparsity, seed) not in done:
            rows.append(run_one(task, arm, sparsity, seed, data))
            RECORD.write_text("[\n" + ",\n".join(json.dumps(row) for row in rows) + "\n]\n")


def print_table() -> None:
    """Print the metric of each seed, and the tensors of which nothing was left in some run."""
    rows = json.loads(RECORD.read_text())
    table = Table("task", "zeros", "arm", "metric", "seeds", "emptied")
    for task, sparsity, arm in itertools.product(TASKS, SPARSITIES, ARMS):
        own = [row for row in rows if (row["task"], row["sparsity"], row["arm"]) == (task, sparsity, arm)]
        if own:
            emptied = sorted({name for row in own for name, (kept, _) in row["kept"].items() if not kept})
            values = "  ".join(f"{row['value']:.3g}" for row in own)
            table.add_row(
                task, f"{sparsity:.0%}", arm, f"{own[0]['metric']}, {own[0]['unit']}", values, ", ".join(emptied)
            )
    Console(width=140).print(table)


if __name__ == "__main__":
    if sys.argv[1:] == ["--table"]:
        print_table()
    elif len(sys.argv) == 2:
        run_all(sys.argv[1])
        print_table()
    else:
        raise SystemExit(__doc__)
