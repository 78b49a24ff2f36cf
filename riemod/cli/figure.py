"""The command `riemod figure NUMBER RUN`: a figure of the paper, drawn of a run of yours."""

import importlib.util
import sys
from pathlib import Path
from typing import Annotated, Literal

import tyro

from riemod.training import RunError, RunFolder, load

_ENDINGS = (".png", ".pdf", ".svg")


def draw_figure(
    number: Annotated[Literal["1", "6", "7", "8"], tyro.conf.Positional],
    run: Annotated[Path | None, tyro.conf.Positional, tyro.conf.arg(metavar="[RUN]")] = None,
    out: Path | None = None,
) -> None:
    """Draw a figure of the paper: 1 structure of a pruned net, 6 costs, 7 weights, 8 persistence of the points.

    Figures 1 and 7 need a run with points on a circle, sphere, torus, Klein bottle, plane or Poincare disc; 8 one with
    points on any manifold. Figure 6 needs no run.

    Args:
        number: Of the figure in the paper.
        run: Folder of the run.
        out: PNG, PDF or SVG file; None for figure-NUMBER.png in the folder figures of the run, or here for Figure 6.

    Examples:
        riemod figure 7 runs/a
        riemod figure 6 --out costs.pdf
    """
    if out is not None:
        check_ending(out)
    if (run is None) != (number == "6"):
        raise ValueError(f"RUN must be given for Figures 1, 7 and 8, and not for 6, got {run} for Figure {number}")
    missing = [name for name in ("gudhi", "ripser") if importlib.util.find_spec(name) is None]
    if number == "8" and missing:
        raise RunError(f"figure 8 needs {', '.join(missing)}: pip install 'riemod[topology]' brings it")
    # matplotlib and scikit-learn are slow to import, and few commands need them.
    from riemod.inspection.paper import PAPER_FIGURES, draw_costs

    if run is None:
        path = draw_costs(out or Path("figure-6.png"))
    else:
        path = PAPER_FIGURES[int(number)](load(RunFolder(run)), out or run / "figures" / f"figure-{number}.png")
    sys.stdout.write(f"{path}\n")


def check_ending(out: Path, endings: tuple[str, ...] = _ENDINGS) -> None:
    """Raise a ValueError unless the name of a file says that it is a picture."""
    if out.suffix.lower() not in endings:
        raise ValueError(f"out must end with {', '.join(endings)}, got {out}")
