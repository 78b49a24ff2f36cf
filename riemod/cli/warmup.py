"""The command that compiles the penalty's kernels before they are needed."""

import sys
import time
from typing import Annotated

import tyro

from riemod._ahead_of_time import refusal
from riemod.manifolds import NAMES, by_name
from riemod.regularization._kernels import prepare
from riemod.regularization.inhibitors import DifferenceOfGaussians

Names = Annotated[
    tuple[str, ...],
    tyro.conf.Positional,
    tyro.conf.arg(metavar="[MANIFOLD ...]", help=f"Names of manifolds, of {', '.join(NAMES)}; all of them if none."),
]


def warmup(manifolds: Names = ()) -> None:
    """Compile the penalty's kernels for manifolds with the default inhibitor in float32, once on this machine.

    Without it, the first run with a law waits about half a minute for each of its kernels.

    Args:
        manifolds: Names of manifolds; all of them if none.

    Examples:
        riemod warmup
        riemod warmup torus sphere
    """
    if reason := refusal():
        raise ValueError(f"there is nothing to compile beforehand: {reason}; each process compiles what it needs")
    spaces = [(name, by_name(name)) for name in manifolds or NAMES]
    for index, (name, space) in enumerate(spaces, 1):
        sys.stdout.write(f"{index} of {len(spaces)}: {name} ... ")
        sys.stdout.flush()
        start = time.perf_counter()
        ready = prepare(space, DifferenceOfGaussians())
        sys.stdout.write(f"{'ready' if ready else 'not compiled'} after {time.perf_counter() - start:.1f} s\n")
        if not ready:
            raise ValueError(f"the kernels of {name} cannot be compiled here: the line above says why")
