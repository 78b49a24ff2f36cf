"""Inspection of a run or a recording: which manifold its states fill, and what they say of the animal's position."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from riemod._checks import check_function, check_integer
from riemod._files import write_json
from riemod._machine import check_fits
from riemod.dynamics import effective_rank, participation_ratio
from riemod.inspection.coordinates import Coordinates, recover_coordinates
from riemod.inspection.figures import NAMES, draw_figures
from riemod.inspection.navigation import alignment, arena_of, decoding, tuning
from riemod.inspection.output import RECORD, check_out, verdict_of
from riemod.inspection.points import judge_points
from riemod.inspection.recordings import analyze_recording
from riemod.inspection.states import Sample, draw_states
from riemod.inspection.stored import arrays_of, write_arrays
from riemod.topology import ModuliRecovery
from riemod.training import Run, RunError, Stream, environment, generator_for
from riemod.training.run import check_run

__all__ = ["Coordinates", "Sample", "analyze_recording", "analyze_run", "draw_states"]

_FEWEST_STATES = 100


def analyze_run(
    run: Run, out: Path, states: int = 5000, progress: Callable[[str], None] | None = None
) -> dict[str, Any]:
    """Find which manifold the hidden states of a run fill, compare it with its arena, and draw figures.

    The states are those of the model at present, on fresh data, which is the same for every run of the task. For
    navigation the record also holds decoding errors of positions, the tuning of units, the agreement of circular
    coordinates with the true angles if the arena is a circle, a torus or a Klein bottle, and the agreement of the
    geometries of tuning, weights and points. If the run has points of its recurrent layer, the record judges them: by
    their spread, their agreement with tuning, places and weights, and a verdict in a space that knows no manifold.

    Args:
        run: its model is put into evaluation mode and not changed otherwise.
        out: folder for the record, `analysis.json`, for arrays, and for figures; made if it is missing. Files of an
            earlier analysis are replaced, and other files stay.
        states: number of hidden states, >= 100; all there are if the task's evaluation has fewer.
        progress: called with what is being done.

    Returns:
        The record.

    Raises:
        RunError: if the run has no checkpoint, or out is a file or holds figures of something else.
        ValueError: if states < 100, or the states do not allow an analysis, for example because all are equal.
        ImportError: if gudhi or ripser is not installed.
    """
    _check(run, out, states)
    say = (lambda stage: None) if progress is None else check_function("progress", progress)
    say("drawing hidden states")
    sample = draw_states(run, states)
    say(f"comparing {len(sample.states):,} states with null data")
    recovery = ModuliRecovery(n_jobs=torch.get_num_threads()).fit(sample.states)
    say("recovering coordinates")
    centered = sample.states - sample.states.mean(0)
    arena = arena_of(run.task)
    coordinates = recover_coordinates(sample, recovery, arena)
    record: dict[str, Any] = {
        "run": run.description.to_dict(),
        "epochs": run.epoch,
        "states": len(sample.states),
        "units": sample.states.shape[1],
        "verdict": verdict_of(recovery),
        "report": recovery.report(),
        "ranks": {
            "participation_ratio": participation_ratio(centered).item(),
            "effective_rank": effective_rank(centered).item(),
        },
    }
    say("tuning, alignment and points")
    found = None
    if coordinates is not None:
        record["coordinates"] = coordinates.to_dict()
    if arena is not None:
        right = {arena.truth: "right", "undecided": "undecided"}.get(recovery.manifold_, "wrong")
        generator = generator_for("cpu", Stream.ANALYSIS, 1)
        found = tuning(sample, arena, generator)
        record |= {
            "arena": {"name": arena.name, "manifold": arena.truth, "verdict": right},
            "position": decoding(run, sample, arena),
            "tuning": found.to_dict(),
            "alignment": alignment(run, found, generator),
        }
    judged = judge_points(run, sample, found, arena, generator_for("cpu", Stream.ANALYSIS, 3))
    if judged is not None:
        record["points"] = judged.record
    record |= environment()
    say("drawing figures")
    out.mkdir(parents=True, exist_ok=True)
    record["arrays"] = write_arrays(out, arrays_of(sample, recovery, coordinates, found))
    write_json(out / RECORD, record)
    for name in NAMES:
        (out / name).unlink(missing_ok=True)
    draw_figures(out, sample, recovery, arena, coordinates, found, judged)
    return record


def _check(run: Run, out: Path, states: int) -> None:
    """Check the arguments before anything is computed."""
    check_run(run)
    check_fits("states", check_integer("states", states, _FEWEST_STATES), 4 * states)
    if not run.folder.has_checkpoint:
        raise RunError(f"run {run.folder.path} has no checkpoint: riemod resume {run.folder.path}")
    check_out(out, NAMES)
