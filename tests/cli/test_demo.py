"""The demonstration's figures and tables, from smoke runs."""

import io

import matplotlib as mpl
import numpy as np
import pytest
import torch
from rich.console import Console

from riemod.cli import demo
from riemod.cli.tables import comparison_table
from riemod.tasks.navigation import Navigation, NavigationModel
from riemod.training import RunDescription, RunFolder, start, train

mpl.use("Agg")


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    folders = {}
    smoke = Navigation.presets["smoke"].replace(sparsity=0.9)
    for name, config in {
        "learned torus": smoke.replace(manifold="torus", learn=True),
        "no regularizer": smoke,
    }.items():
        folders[name] = RunFolder(tmp_path_factory.mktemp("runs") / name)
        train(start(folders[name], RunDescription("navigation", config, None)))
    return folders


def test_figures_are_written(runs, tmp_path):
    paths = demo.draw_figures(runs, tmp_path / "figures")
    assert [path.name for path in paths] == ["positions.png", "weights.png", "error.png", "walk.png", "demo.png"]
    for path in paths:
        pixels = mpl.image.imread(path)
        assert np.unique(pixels.reshape(-1, pixels.shape[-1]), axis=0).shape[0] > 50


def test_comparison_shows_every_run(runs):
    records = {name: folder.read_record() for name, folder in runs.items()}
    console = Console(file=io.StringIO(), width=200)
    console.print(comparison_table("smoke", records))
    text = console.file.getvalue()
    for name, record in records.items():
        assert name in text
        assert f"{record['metrics']['error_top3']['value']:.4g}" in text
    assert "sparsity rnn.weight_hh_l0" in text


def test_preferred_positions_are_where_units_are_active():
    task = Navigation(Navigation.presets["smoke"])
    place = torch.tensor([0.4, -0.3])

    class OneField(NavigationModel):
        def hidden_states(self, start_code, velocity):
            walks = task.walks(velocity.shape[1], demo.generator_for("cpu", 0, 3))
            field = (-(walks.position - place).square().sum(-1) / 0.1).exp()
            return torch.stack((field, torch.ones_like(field)), -1)

    preferred = demo.places_of_units(task, OneField(64, 2), walks=300)
    torch.testing.assert_close(preferred[0].float(), place, rtol=0, atol=0.15)
    assert preferred[1].isnan().all()
