"""Rows of results, for the tests of tables."""

from typing import NamedTuple


class Row(NamedTuple):
    """One finished run."""

    arm: str
    sparsity: float
    seed: int
    metrics: dict[str, float]


def rows(values: dict[str, list[float]], sparsity: float = 0.9, metric: str = "rmse") -> list[Row]:
    """One run for each value, seeds from 0 on."""
    return [Row(arm, sparsity, seed, {metric: x}) for arm, xs in values.items() for seed, x in enumerate(xs)]
