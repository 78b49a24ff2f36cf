"""What every analysis writes: its folder, and the verdict as values that JSON can hold."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from riemod._checks import check_type
from riemod.topology import ModuliRecovery
from riemod.training import RunError

RECORD = "analysis.json"


def check_out(out: Path, figures: Sequence[str]) -> None:
    """Check, before anything is computed, that an analysis may be written to a folder.

    Args:
        out: the folder; it may be missing.
        figures: names of the files that would be replaced.

    Raises:
        RunError: if out is a file, or holds such figures and no record of an analysis.
    """
    check_type("out", out, Path, "a Path")
    if out.exists() and not out.is_dir():
        raise RunError(f"out must be a folder, got the file {out}")
    foreign = [name for name in figures if (out / name).exists()]
    if foreign and not (out / RECORD).is_file():
        raise RunError(f"out must not hold figures of something else, got {out / foreign[0]}: name another folder")


def verdict_of(recovery: ModuliRecovery) -> dict[str, Any]:
    """Return what the estimator found, as values that JSON can hold.

    Args:
        recovery: fitted.
    """
    return {
        "manifold": recovery.manifold_,
        "reason": recovery.reason_,
        "betti": {str(prime): betti._asdict() for prime, betti in recovery.betti_.items()},
        "agreement": recovery.agreement_,
        "p_values": {str(degree): float(p) for degree, p in recovery.p_values_.items()},
        "longest": {str(degree): float(ratio) for degree, ratio in recovery.longest_.items()},
        "floors": {str(degree): float(ratio) for degree, ratio in recovery.floors_.items()},
        "nulls": {str(degree): sum(map(len, drawn)) for degree, drawn in recovery.null_ratios_.items()},
        "dimension": [float(found) if np.isfinite(found) else None for found in recovery.dimension_],
        "metric": recovery.metric_,
    }
