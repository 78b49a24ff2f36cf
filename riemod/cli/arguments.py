"""Positional arguments that several commands take."""

from pathlib import Path
from typing import Annotated

import tyro

RunPaths = Annotated[
    tuple[Path, ...],
    tyro.conf.Positional,
    tyro.conf.arg(metavar="RUN [RUN ...]", help="Folder of a run, or folders of several."),
]
RunPath = Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="RUN", help="Folder of the run.")]
