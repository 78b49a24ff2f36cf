"""Writing of files, each either whole or not at all."""

import json
import os
from pathlib import Path
from typing import Any

_PARTIAL = ".partial"


def is_partial(path: Path) -> bool:
    """Return whether a file is what an interrupted atomic write left behind."""
    return path.name.endswith(_PARTIAL)


def write_atomically(path: Path, content: bytes) -> None:
    """Write a file that after a crash holds either the old content or the new, never a part of it."""
    temporary = path.with_name(f".{path.name}{_PARTIAL}")
    with temporary.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)


def write_json(path: Path, value: Any) -> None:
    """Write JSON atomically, indented, with a closing newline."""
    write_atomically(path, (json.dumps(value, indent=2, allow_nan=False) + "\n").encode())
