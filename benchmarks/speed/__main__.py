"""Runs every row, or those whose names start as asked, prints the table and keeps a record of each.

python -m benchmarks.speed
python -m benchmarks.speed --rows penalty-torus --rounds 30
"""

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
import tyro
from rich.console import Console

from benchmarks.speed import latency, penalty, signed, sparse, training
from benchmarks.speed.harness import RECORDS, ROUNDS, Result, save, show

# A group of rows is a module with ROWS: name -> function of the number of rounds.
ROWS: dict[str, Callable[[int], Result]] = {
    **penalty.ROWS,
    **signed.ROWS,
    **training.ROWS,
    **sparse.ROWS,
    **latency.ROWS,
}


@dataclass(frozen=True)
class Options:
    """What to run.

    Args:
        rows: beginnings of the names of rows; all if empty.
        rounds: how often each side of a comparison runs.
        threads: of torch; as torch chooses if not given.
        records: where the records go.
    """

    rows: tuple[str, ...] = ()
    rounds: int = ROUNDS
    threads: int | None = None
    records: Path = RECORDS


def main(options: Options) -> None:
    """Run the rows one after the other; a target that is missed is no failure."""
    if options.threads is not None:
        torch.set_num_threads(options.threads)
    chosen = [name for name in ROWS if not options.rows or name.startswith(options.rows)]
    if not chosen:
        raise SystemExit(f"rows must begin as one of {', '.join(ROWS)}")
    console, results = Console(stderr=True), []
    for name in chosen:
        console.print(f"{name} ...")
        result = dataclasses.replace(ROWS[name](options.rounds), name=name)
        save(result, options.records)
        results.append(result)
    show(results)


if __name__ == "__main__":
    main(tyro.cli(Options, description=__doc__))
