"""Which manifold is recovered from the hidden states of nets that learned to navigate in an arena?

Five arenas by five seeds (presets `cpu-box`, `cpu-circle`, `cpu-torus`, `cpu-sphere`, `cpu-klein`). `ModuliRecovery`
sees the last state of each of 4,000 fresh walks, and neither the arena nor places nor the decoder. Controls:

- *untrained*: the same net before the first step of training, on the same walks;
- *shuffled*: the trained net's states, with the values of each unit permuted over the walks independently.

python -m analysis.confusion                          # print the table of the committed records, and draw the figure
python -m analysis.confusion --records DIR            # of other records
python -m analysis.confusion --runs DIR               # train what is missing in DIR and fit what has no record first
"""

import argparse
import functools
import json
import time
from collections import Counter
from pathlib import Path

import numpy as np
import torch
from matplotlib.figure import Figure

import riemod
from analysis import small_nets
from analysis.small_nets import Row
from riemod.inspection import Sample
from riemod.inspection.coordinates import recover_coordinates
from riemod.inspection.navigation import arena_of
from riemod.plotting import plot_confusion
from riemod.tasks.navigation import Navigation, NavigationConfig
from riemod.training import Run, RunDescription, RunFolder, build, load, start, train

RECORDS = Path(__file__).parent / "records" / "confusion"
FIGURE = Path(__file__).parents[1] / "docs" / "_static" / "confusion.png"
EXPECTED = {"box": "contractible", "circle": "circle", "torus": "torus", "sphere": "sphere", "klein": "klein bottle"}
CONTROLS = ("trained", "untrained", "shuffled")
VERDICTS = ("contractible", "circle", "torus", "sphere", "klein bottle", "undecided")
CLOSED = {"circle", "torus", "sphere", "klein bottle"}
FILE = "rows.jsonl"
WALKS = 4000
_ERRORS = ("error", "error floor", "likelihood", "likelihood floor", "still")


def finished_run(arena: str, seed: int, runs: Path) -> Run:
    """Load the run, and train it first if it is missing or not finished."""
    folder = RunFolder(runs / f"{arena}-seed{seed}")
    if folder.path.exists():
        run = load(folder)
    else:
        preset = Navigation.presets[f"cpu-{arena}"]
        assert isinstance(preset, NavigationConfig)
        run = start(folder, RunDescription("navigation", preset.replace(seed=seed, threads=1), None))
    if not folder.record_file.is_file():
        train(run)
    return run


def states_of(run: Run, control: str) -> tuple[np.ndarray, torch.Tensor]:
    """Draw hidden states (4,000, n) of a run or of a control, and the places that they belong to."""
    source = build(run.folder, run.description) if control == "untrained" else run
    assert isinstance(source.task, Navigation)
    generator = torch.Generator().manual_seed(1000 + run.config.seed)
    states, places = source.task.states(source.model.eval(), generator, WALKS, last=1)
    points = states.double().numpy()
    return riemod.topology.nulls.shuffled(points, generator) if control == "shuffled" else points, places


def row_of(arena: str, seed: int, control: str, runs: Path, n_jobs: int) -> Row:
    """Compute one verdict with its statistics, and errors, their floors and the error of holding the start, in cm."""
    run = finished_run(arena, seed, runs)
    begin = time.perf_counter()
    points, places = states_of(run, control)
    found = riemod.topology.ModuliRecovery(random_state=seed, n_jobs=n_jobs).fit(points)
    seconds = time.perf_counter() - begin
    sample = Sample(torch.from_numpy(points), places)
    angles = recover_coordinates(sample, found, arena_of(run.task)) if control == "trained" else None
    record = json.loads(run.folder.record_file.read_text())
    names = {"error": "error_top3", "likelihood": "error_maximum_likelihood"}
    errors = {name: record["metrics"][metric]["value"] for name, metric in names.items()}
    floors = {
        f"{name} floor": record["levels"][f"{metric} of a perfect net"]["value"] for name, metric in names.items()
    }
    return {
        "manifold": found.manifold_,
        "reason": found.reason_,
        "agreement": round(found.agreement_, 3),
        "p_values": {str(degree): round(p, 4) for degree, p in found.p_values_.items()},
        "longest": {str(degree): round(float(ratio), 3) for degree, ratio in found.longest_.items()},
        "counted above": {str(degree): round(ratio, 3) for degree, ratio in found.floors_.items()},
        "dimension": [round(number, 2) for number in found.dimension_],
        "metric": found.metric_,
        "seconds": round(seconds),
        "circular correlations": [round(value, 4) for value in (angles and angles.correlations) or []],
        **{name: round(value, 3) for name, value in (errors | floors).items()},
        "still": round(record["levels"]["error_top3 of holding the start"]["value"], 3),
    }


def counts(rows: list[Row], control: str) -> np.ndarray:
    """Count each verdict in each arena, (arenas, verdicts)."""
    seen = Counter((row["arena"], row["manifold"]) for row in rows if row["control"] == control)
    return np.array([[seen[arena, verdict] for verdict in VERDICTS] for arena in EXPECTED])


def table(rows: list[Row]) -> str:
    """Format verdicts by arena and control, and their totals."""
    verdicts = [
        [control, arena, *(str(number) if number else "" for number in line)]
        for control in CONTROLS
        for arena, line in zip(EXPECTED, counts(rows, control), strict=True)
        if line.any()
    ]
    trained = [row for row in rows if row["control"] == "trained"]
    others = [row for row in rows if row["control"] != "trained"]
    errors = []
    for arena in EXPECTED:
        own = [row for row in trained if row["arena"] == arena]
        if own:
            means = [small_nets.summary((row[name] for row in own), 1 + (name != "still")) for name in _ERRORS]
            angles = [value for row in own for value in row["circular correlations"]]
            correlation = f"{np.median(angles):.3f} ({min(angles):.3f})" if angles else ""
            errors.append([arena, str(len(own)), *means, correlation])
    right = sum(row["manifold"] == EXPECTED[row["arena"]] for row in trained)
    wrong = sum(row["manifold"] not in (EXPECTED[row["arena"]], "undecided") for row in trained)
    false = sum(row["manifold"] in CLOSED for row in others)
    return "\n\n".join(
        (
            small_nets.markdown(("states", "arena", *VERDICTS), verdicts),
            f"Trained: {right} of {len(trained)} right, {wrong} wrong, the others undecided. "
            f"Controls: {false} of {len(others)} called a closed manifold.",
            small_nets.markdown(("arena", "nets", *_ERRORS, "circular correlation, median (least)"), errors),
        )
    )


def draw(rows: list[Row], file: Path) -> None:
    """Draw the confusion matrices of the trained nets and the controls, side by side."""
    figure = Figure(figsize=(10, 3.6), layout="constrained")
    for control, ax in zip(CONTROLS, figure.subplots(1, 3, sharey=True), strict=True):
        plot_confusion(counts(rows, control), list(EXPECTED), list(VERDICTS), ax).set_title(control)
    file.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(file, dpi=130, bbox_inches="tight")


def main() -> None:
    """Run missing cases on request, print the table and draw the figure."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--records", type=Path, default=RECORDS)
    parser.add_argument("--runs", type=Path)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--jobs", type=int, default=1)
    parser.add_argument("--figure", type=Path, default=FIGURE)
    arguments = parser.parse_args()
    if arguments.runs is not None:
        torch.set_num_threads(1)
        cases = [
            (arena, seed, control) for seed in range(arguments.seeds) for control in CONTROLS for arena in EXPECTED
        ]
        study = functools.partial(row_of, runs=arguments.runs, n_jobs=arguments.jobs)
        small_nets.run_missing(arguments.records / FILE, ("arena", "seed", "control"), cases, study)
    rows = small_nets.read(arguments.records / FILE)
    if not rows:
        parser.error(f"--records: no {FILE} in {arguments.records}")
    print(table(rows))
    draw(rows, arguments.figure)


if __name__ == "__main__":
    main()
