"""Which manifold is recovered from the hidden states of nets that learned to navigate in an arena?

Five arenas by five seeds (presets `cpu-box`, `cpu-circle`, `cpu-torus`, `cpu-sphere`, `cpu-klein`). `ModuliRecovery`
sees one state a walk, the last of 4,000 fresh walks, and nothing of the arena, of places or of the decoder. Controls:

- *untrained*: the same net before the first step of training, on the same walks;
- *shuffled*: the trained net's states, each unit's values in an order of its own over the walks.

python -m analysis.confusion                          # print the table of the committed records, and draw the figure
python -m analysis.confusion --records DIR            # of other records
python -m analysis.confusion --runs DIR               # train what is missing in DIR and fit what has no record first
"""

import argparse
import dataclasses
import itertools
import json
import time
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import torch
from matplotlib.figure import Figure

import riemod
from riemod.analyze.coordinates import angles_of_places, match_angles
from riemod.analyze.navigation import arena_of
from riemod.plotting import plot_confusion
from riemod.tasks.navigation import Navigation, NavigationConfig
from riemod.training import train
from riemod.training.assembly import Run, build, load, start
from riemod.training.runs import RunDescription, RunFolder

RECORDS = Path(__file__).parent / "records" / "confusion"
FIGURE = Path(__file__).parents[1] / "docs" / "_static" / "confusion.png"
EXPECTED = {"box": "contractible", "circle": "circle", "torus": "torus", "sphere": "sphere", "klein": "klein bottle"}
CONTROLS = ("trained", "untrained", "shuffled")
VERDICTS = ("contractible", "circle", "torus", "sphere", "klein bottle", "undecided")
CLOSED = {"circle", "torus", "sphere", "klein bottle"}
WALKS = 4000
Row = dict[str, Any]


def finished_run(arena: str, seed: int, runs: Path) -> Run:
    """The run, trained first, or trained on, if need be."""
    folder = RunFolder(runs / f"{arena}-seed{seed}")
    if folder.path.exists():
        run = load(folder)
    else:
        preset = Navigation.presets[f"cpu-{arena}"]
        assert isinstance(preset, NavigationConfig)
        run = start(folder, RunDescription("navigation", dataclasses.replace(preset, seed=seed, threads=1), None))
    if not folder.record_file.is_file():
        train(run)
    return run


def states_of(run: Run, control: str) -> tuple[np.ndarray, torch.Tensor]:
    """(4,000, n) hidden states of a run, or of a control, and the places they belong to."""
    source = build(run.folder, run.description) if control == "untrained" else run
    assert isinstance(source.task, Navigation)
    generator = torch.Generator().manual_seed(1000 + run.config.seed)
    states, places = source.task.states(source.model.eval(), generator, WALKS, last=1)
    points = states.double().numpy()
    return riemod.topology.nulls.shuffled(points, generator) if control == "shuffled" else points, places


def circular_correlations(run: Run, points: np.ndarray, places: torch.Tensor, metric: str) -> list[float]:
    """Of circular coordinates, fitted to half of the states, with the true angles of the others; none without such."""
    arena = arena_of(run.task)
    assert arena is not None
    true = angles_of_places(arena, places)
    if true is None:
        return []
    half = len(points) // 2
    along = "geodesic" if metric == "geodesic" else "euclidean"
    coordinates = riemod.topology.CircularCoordinates(true.shape[1], metric=along).fit(points[:half])
    return match_angles(coordinates.transform(points[half:]), true[half:])


def row_of(arena: str, seed: int, control: str, runs: Path, n_jobs: int) -> Row:
    """One verdict and its evidence."""
    run = finished_run(arena, seed, runs)
    begin = time.perf_counter()
    points, places = states_of(run, control)
    found = riemod.topology.ModuliRecovery(random_state=seed, n_jobs=n_jobs).fit(points)
    seconds = time.perf_counter() - begin
    angles = circular_correlations(run, points, places, found.metric_) if control == "trained" else []
    record = json.loads(run.folder.record_file.read_text())
    names = {"error": "error_top3", "likelihood": "error_maximum_likelihood"}
    errors = {name: record["metrics"][metric]["value"] for name, metric in names.items()}
    floors = {
        f"{name} floor": record["levels"][f"{metric} of a perfect net"]["value"] for name, metric in names.items()
    }
    return {
        "arena": arena,
        "seed": seed,
        "control": control,
        "manifold": found.manifold_,
        "reason": found.reason_,
        "agreement": round(found.agreement_, 3),
        "p_values": {str(degree): round(p, 4) for degree, p in found.p_values_.items()},
        "longest": {str(degree): round(float(ratio), 3) for degree, ratio in found.longest_.items()},
        "counted above": {str(degree): round(ratio, 3) for degree, ratio in found.floors_.items()},
        "dimension": [round(number, 2) for number in found.dimension_],
        "metric": found.metric_,
        "seconds": round(seconds),
        "circular correlations": [round(value, 4) for value in angles],
        **{name: round(value, 3) for name, value in (errors | floors).items()},
        "still": round(record["levels"]["error_top3 of holding the start"]["value"], 3),
    }


def run_missing(runs: Path, records: Path, seeds: int, n_jobs: int) -> None:
    """Add the rows that there are no records of, trained nets first."""
    done = {(row["arena"], row["seed"], row["control"]) for row in read(records)}
    records.mkdir(parents=True, exist_ok=True)
    for control, seed, arena in itertools.product(CONTROLS, range(seeds), EXPECTED):
        if (arena, seed, control) not in done:
            row = row_of(arena, seed, control, runs, n_jobs)
            with (records / "rows.jsonl").open("a", encoding="utf-8") as lines:
                lines.write(json.dumps(row) + "\n")
            print(arena, seed, control, row["manifold"], f"{row['seconds']} s", flush=True)


def read(records: Path) -> list[Row]:
    """The rows there are."""
    file = records / "rows.jsonl"
    return [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()] if file.is_file() else []


def counts(rows: list[Row], control: str) -> np.ndarray:
    """(arenas, verdicts) how often each verdict was given."""
    seen = Counter((row["arena"], row["manifold"]) for row in rows if row["control"] == control)
    return np.array([[seen[arena, verdict] for verdict in VERDICTS] for arena in EXPECTED])


def table(rows: list[Row]) -> str:
    """Verdicts by arena and control, and what they add up to, in Markdown."""
    lines = ["| states | arena | " + " | ".join(VERDICTS) + " |", "|---" * (2 + len(VERDICTS)) + "|"]
    for control in CONTROLS:
        for arena, line in zip(EXPECTED, counts(rows, control), strict=True):
            if line.any():
                lines.append(f"| {control} | {arena} | " + " | ".join(str(n) if n else "" for n in line) + " |")
    trained = [row for row in rows if row["control"] == "trained"]
    controls = [row for row in rows if row["control"] != "trained"]
    right = sum(row["manifold"] == EXPECTED[row["arena"]] for row in trained)
    wrong = sum(row["manifold"] not in (EXPECTED[row["arena"]], "undecided") for row in trained)
    false = sum(row["manifold"] in CLOSED for row in controls)
    lines.append("")
    lines.append(f"Trained: {right} of {len(trained)} right, {wrong} wrong, the others undecided.")
    for arena in ("circle", "torus", "klein"):
        found = [value for row in trained if row["arena"] == arena for value in row["circular correlations"]]
        if found:
            lines.append(f"Circular correlation, {arena}: median {np.median(found):.3f}, least {min(found):.3f}.")
    lines.append(f"Controls: {false} of {len(controls)} called a closed manifold.")
    return "\n".join(lines)


def draw(rows: list[Row], file: Path) -> None:
    """The confusion matrices of the trained nets and the controls, side by side."""
    figure = Figure(figsize=(10, 3.2), layout="constrained")
    for control, ax in zip(CONTROLS, figure.subplots(1, 3, sharey=True), strict=True):
        plot_confusion(counts(rows, control), list(EXPECTED), list(VERDICTS), ax).set_title(control)
    file.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(file, dpi=150)


def main() -> None:
    """Run what is missing, if asked to, print the table and draw the figure."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--records", type=Path, default=RECORDS)
    parser.add_argument("--runs", type=Path)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--jobs", type=int, default=1)
    parser.add_argument("--figure", type=Path, default=FIGURE)
    arguments = parser.parse_args()
    if arguments.runs is not None:
        torch.set_num_threads(1)
        run_missing(arguments.runs, arguments.records, arguments.seeds, arguments.jobs)
    rows = read(arguments.records)
    if not rows:
        parser.error(f"--records: no rows.jsonl in {arguments.records}")
    print(table(rows))
    draw(rows, arguments.figure)


if __name__ == "__main__":
    main()
