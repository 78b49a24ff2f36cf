"""Files that are written whole or not at all."""

import json
import os
from pathlib import Path
from typing import Any

_PARTIAL = ".partial"


def is_partial(path: Path) -> bool:
    """Whether a file is what a crash left of an atomic write."""
    return path.name.endswith(_PARTIAL)


def write_atomically(path: Path, content: bytes) -> None:
    """Write a file so that after a crash it holds either the old content or the new, never a part."""
    temporary = path.with_name(f".{path.name}{_PARTIAL}")
    with temporary.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)


def write_json(path: Path, value: Any) -> None:
    """Write JSON atomically, indented, with a closing newline."""
    write_atomically(path, (json.dumps(value, indent=2, allow_nan=False) + "\n").encode())
