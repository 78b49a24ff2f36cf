"""The demo: its three runs, what it says of them, and its figure, with tiny nets."""

import io
from pathlib import Path
from typing import Any

import jaxtyping
import matplotlib as mpl
import matplotlib.image
import numpy as np
import pytest
import torch
from rich.console import Console

from riemod.cli import demo, demo_results, main
from riemod.tasks.navigation import Navigation, NavigationModel
from riemod.training import RunDescription, RunError, RunFolder, start

mpl.use("Agg")
TINY = (
    *("--hidden-size", "24", "--epochs", "12", "--batches-per-epoch", "4", "--batch-size", "20"),
    *("--landmarks", "16", "--evaluation-batches", "1"),
)


@pytest.fixture(scope="module")
def shown(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """The folder and the output of a demo of tiny nets, trained in this process."""
    out = tmp_path_factory.mktemp("demo")
    console = Console(file=io.StringIO(), width=200)
    jaxtyping.config.update("jaxtyping_disable", True)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(demo, "_train_side_by_side", lambda _, commands, __: [main(c) for c in commands.values()])
        patch.setattr(demo_results, "_STATES", 120)
        patch.setattr(demo_results, "_SUBSAMPLES", 1)
        patch.setattr(demo_results, "_WALKS", 60)
        patch.setattr(demo_results, "_ROUNDS", 3)
        demo.run_demo(out, console, options=TINY, nulls=2)
    return out, console.file.getvalue()  # pyright: ignore[reportAttributeAccessIssue]


def test_nobody_tells_the_first_two_nets_of_a_torus(shown: tuple[Path, str]) -> None:
    configs = {
        name: RunFolder(shown[0] / name.replace(" ", "-")).read_description().config
        for name in (demo.UNTOLD, demo.PLAIN, demo.MAP)
    }
    for name in (demo.UNTOLD, demo.PLAIN):
        law = configs[name].regularization
        assert (law.manifold, law.strength, law.learn, law.evidence) == ("none", 0.0, False, "weights")
    law = configs[demo.MAP].regularization
    assert (law.manifold, law.law, law.learn, law.evidence) == ("torus", "signed", True, "coactivity")
    assert [config.masks.sparsity for config in configs.values()] == [0.0, 0.9, 0.9]
    # All else is the same, or errors could not be compared.
    plain, learned = (configs[name].to_dict() for name in (demo.PLAIN, demo.MAP))
    differ = {key for key in plain if plain[key] != learned[key]}
    assert differ == {"manifold", "law", "strength", "learn", "evidence"}


def test_the_demo_says_what_it_found(shown: tuple[Path, str]) -> None:
    out, text = shown
    record = RunFolder(out / "on-the-torus").read_record()
    for part in ("Betti numbers mod 2", "p = ", "spread", "times faster", "3 paired rounds"):
        assert part in text
    assert f"{record['metrics']['error_maximum_likelihood']['value']:.4g}" in text
    assert "sparsity rnn.weight_hh_l0" in text
    assert text.startswith("Three small nets")
    assert str(out / "figures" / "demo.png") in text
    assert f"riemod analyze {out / 'on-the-torus'}  # states" in text
    assert (out / "compressed" / "model.safetensors").is_file()


def test_the_figure_is_drawn(shown: tuple[Path, str]) -> None:
    pixels = matplotlib.image.imread(shown[0] / "figures" / "demo.png")
    assert pixels.shape[1] == 2100
    assert np.unique(pixels.reshape(-1, pixels.shape[-1]), axis=0).shape[0] > 500


def test_a_finished_demo_draws_again_without_training(shown: tuple[Path, str], monkeypatch: pytest.MonkeyPatch) -> None:
    out, _ = shown
    before = {path: path.stat().st_mtime_ns for path in out.rglob("*.safetensors")}
    started: list[Any] = []
    monkeypatch.setattr(demo.subprocess, "Popen", started.append)
    folders = {name: RunFolder(out / name.replace(" ", "-")) for name in (demo.UNTOLD, demo.PLAIN)}
    demo._train_side_by_side(folders, {name: [] for name in folders}, Console(file=io.StringIO()))
    assert not started
    assert {path: path.stat().st_mtime_ns for path in out.rglob("*.safetensors")} == before


def test_a_training_that_fails_is_an_error(tmp_path: Path) -> None:
    command = ["train", "navigation", "--epochs", "-1", "--out", str(tmp_path / "run")]
    with pytest.raises(RunError, match="training failed: untold"):
        demo._train_side_by_side({"untold": RunFolder(tmp_path / "run")}, {"untold": command}, Console(quiet=True))


def test_units_fire_where_they_fire_and_points_there_agree_with_it(tmp_path: Path) -> None:
    """Points on the places of planted fields agree with them; the same points of other units do not."""
    config = Navigation.presets["map-torus"].replace(hidden_size=40)
    run = start(RunFolder(tmp_path / "run"), RunDescription("navigation", config, None))
    task = run.task
    assert isinstance(task, Navigation)
    assert task.arena is not None
    assert run.moduli is not None
    fields = task.arena.manifold.sample(40, generator=torch.Generator().manual_seed(3))
    positions: list[torch.Tensor] = []
    walks = task.walks

    class Fields(NavigationModel):
        def hidden_states(self, start_code: torch.Tensor, velocity: torch.Tensor) -> torch.Tensor:
            assert task.arena is not None
            apart = task.arena.manifold.geometry.dist(positions[-1][..., None, :], fields)
            return (-apart.square() / 0.1).exp()

    def noted(*arguments: Any) -> Any:
        drawn = walks(*arguments)
        positions.append(drawn.position)
        return drawn

    task.walks = noted  # pyright: ignore[reportAttributeAccessIssue]
    run.model = Fields(64, 40, 2)
    points = run.moduli.layer_embeddings(0)[0].points
    torus = run.moduli.layer_embeddings(0)[0].manifold
    points.data.copy_(fields * (10.0 / task.config.side) % 10.0)
    found = demo_results.units_of(run)
    missed = task.arena.manifold.distance(found.places.float(), fields).diagonal()
    assert missed.max() < 2.2 / 15
    assert min(found.tuning, found.near) > 0.9
    assert 0.9 < found.spread < 1.1
    points.data.copy_(torus.sample(40, generator=torch.Generator().manual_seed(4)))
    other = demo_results.units_of(run)
    assert max(other.tuning, other.near) < 0.2
