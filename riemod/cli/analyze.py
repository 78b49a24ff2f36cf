"""What `riemod analyze` runs: the analysis of a run, or of a recording."""

from pathlib import Path
from typing import Any

from riemod.cli.console import show_stages
from riemod.cli.foreground import use_threads
from riemod.training import RunError, RunFolder, load

SUFFIXES = (".npz", ".csv", ".nwb")
_LOADING = ("behavior", "kind", "position", "heading")
FOR_RECORDINGS = (*_LOADING, "bin_width", "smoothing", "least_speed", "coordinates")
_MOST_THREADS = 1024


def analyze_one_run(path: Path, out: Path | None, states: int, threads: int | None) -> tuple[dict[str, Any], Path]:
    """Analyze a run; return its record, and the folder of the figures.

    Args:
        path: folder of the run.
        out: folder of the figures; None for the folder analysis of the run.
        states: number of hidden states.
        threads: CPU threads; None for the run's own number.
    """
    folder = RunFolder(path)
    loaded = load(folder)
    use_threads(loaded.config, threads)
    # scikit-learn and matplotlib are slow to import, and no other command needs both.
    from riemod.inspection import analyze_run

    out = folder.path / "analysis" if out is None else out
    with show_stages() as stage:
        return analyze_run(loaded, out, states, stage), out


def analyze_one_recording(
    path: Path, out: Path | None, threads: int | None, options: dict[str, Any]
) -> tuple[dict[str, Any], Path]:
    """Analyze a recording; return its record, and the folder of the figures.

    Args:
        path: file of the recording.
        out: folder of the figures; None for NAME-analysis beside the file.
        threads: processes that compute null data; None for one.
        options: those of FOR_RECORDINGS that were given.

    Raises:
        RunError: if a library that is needed to read the file is not installed.
    """
    from riemod._checks import check_integer
    from riemod.inspection import analyze_recording
    from riemod.recordings import load as load_recording

    if threads is not None:
        check_integer("threads", threads, 1, _MOST_THREADS)
    out = path.with_name(f"{path.stem}-analysis") if out is None else out
    loading = {name: options[name] for name in _LOADING if name in options}
    rest = {name: value for name, value in options.items() if name not in _LOADING}
    with show_stages() as stage:
        stage(f"reading {path.name}")
        try:
            recording = load_recording(path, **loading)
        except ImportError as error:
            raise RunError(str(error)) from error
        found = analyze_recording(recording, out, name=path.name, n_jobs=threads, progress=stage, **rest)
    return found, out
