"""The study of which moduli space fits: rows, paired differences, tables and the figure."""

from pathlib import Path

import pytest
import torch

from analysis import small_nets, which_space
from riemod.regularization import controls, inhibitors
from riemod.tasks.navigation import Navigation
from tests.analysis.test_small_nets import SMALL

ROW = SMALL | {"epochs": 3, "tail_epochs": 1, "dense_epochs": 0}


@pytest.mark.parametrize("name", ["klein", "euclidean2"])
def test_spaces_have_the_same_share_of_cheap_pairs(name: str) -> None:
    share = controls.cheap_share(which_space.space(name), inhibitors.DifferenceOfGaussians(), pairs=1 << 17)
    assert share == pytest.approx(which_space.SHARE, abs=0.005)


@pytest.mark.parametrize("arm", ["none", "euclidean2", "klein", "shuffled"])
def test_a_row_is_of_a_pruned_net(arm: str) -> None:
    row = which_space.row("klein", arm, 0, **ROW)
    assert row["sparsity"] == pytest.approx(which_space.SPARSITY, abs=1 / 144)
    assert row["ratio"] == pytest.approx(row["error"] / row["floor"])
    assert (row["cheap share"] is None) == (arm == "none")


def rows(seeds: int) -> list[small_nets.Row]:
    """Made up: the own manifold is 1 better than the others, and seeds differ by 10."""
    return [
        {"arena": arena, "arm": arm, "seed": seed, "ratio": 10.0 * seed + 5 - (arm == arena) + 2 * (arm == "none")}
        for arena in which_space.ARENAS
        for arm in which_space.ARMS
        for seed in range(seeds)
    ]


def test_differences_are_paired_by_seed() -> None:
    found = which_space.ratios(rows(3), "torus")
    assert which_space.differences(found, "torus") == {"others": [-1.0] * 3, "none": [-3.0] * 3, "shuffled": [-1.0] * 3}
    assert which_space.best(found) == ["torus"] * 3
    del found["circle"][1]
    assert which_space.differences(found, "torus")["others"] == [-1.0] * 2
    assert which_space.best(found) == ["torus"] * 2


def test_the_shuffled_arm_has_the_coefficients_of_the_arenas_manifold_and_every_arm_the_same_mean() -> None:
    task = Navigation(small_nets.config("klein", 0, **ROW))
    found = {}
    for arm in ("klein", "shuffled", "circle"):
        moduli = which_space.penalty(small_nets.fresh(task), "klein", arm, 3)
        assert moduli is not None
        found[arm] = moduli.coefficients()
        assert moduli.strength * found[arm].mean().item() == pytest.approx(which_space.MEAN_COST)
    assert not torch.equal(found["klein"], found["shuffled"])
    torch.testing.assert_close(found["klein"].flatten().sort().values, found["shuffled"].flatten().sort().values)


def test_tables_and_figure_of_what_there_is(tmp_path: Path) -> None:
    some = rows(2)[:-3]
    table = which_space.tables(some)
    assert "| circle | -1.00 ± 0.00 | -3.00 ± 0.00 | -1.00 ± 0.00 | 2 of 2 |" in table
    assert "| klein | -1.00 | -3.00 ± 0.00 |  | 1 of 1 |" in table
    assert "| 7 of 7 |" in table
    which_space.figure(some, tmp_path / "figure.png")
    assert (tmp_path / "figure.png").stat().st_size > 0
    assert which_space.tables([]) == "no records of which_space"
