"""What a reader must know before the numbers of a run's record."""

from typing import Any

__all__ = ["remarks"]


def remarks(record: dict[str, Any]) -> list[str]:
    """Return what a reader must know before a record's numbers: a preset that learns nothing, a tensor without weights.

    Args:
        record: contents of record.json.
    """
    lines = [f"{key} has no weights left" for key, share in record["sparsity"].items() if share == 1]
    if record["config"]["preset"] == "smoke":
        lines.append("smoke runs are too short to learn anything: they show that all works; take another preset")
    return lines
