"""`riemod figure`: the paper's figures of a small run."""

from pathlib import Path

import numpy as np
import pytest
from matplotlib.image import imread

from riemod.cli import main
from riemod.tasks import task_class
from riemod.training import RunDescription, RunFolder, start, train

SMALL = {"epochs": 3, "batches_per_epoch": 2, "batch_size": 8, "hidden_size": 12, "tail_epochs": 1}


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Finished runs of a few steps, by their manifold."""
    folder = tmp_path_factory.mktemp("runs")
    for name in ("torus", "euclidean3", "none"):
        options = SMALL | {"manifold": name, "learn": name != "none", "sparsity": 0.5, "evaluation_batches": 2}
        config = task_class("adding").presets["smoke"].replace(**options)
        train(start(RunFolder(folder / name), RunDescription("adding", config, None)))
    return {name: folder / name for name in ("torus", "euclidean3", "none")}


@pytest.mark.parametrize(("number", "manifold"), [("1", "torus"), ("7", "torus"), ("8", "torus"), ("8", "euclidean3")])
def test_a_figure_of_a_run_goes_into_its_folder(
    number: str, manifold: str, runs: dict[str, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    main(["figure", number, str(runs[manifold])])
    path = runs[manifold] / "figures" / f"figure-{number}.png"
    assert capsys.readouterr().out == f"{path}\n"
    image = imread(path)
    assert image.shape[1] > 1500
    assert np.ptp(image[..., :3]) > 0.5


@pytest.mark.slow
def test_costs_need_no_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    main(["figure", "6", "--out", str(tmp_path / "new" / "costs.png")])
    assert capsys.readouterr().out == f"{tmp_path / 'new' / 'costs.png'}\n"
    assert imread(tmp_path / "new" / "costs.png").shape[1] > 1500


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["7"], "RUN must be given for Figures 1, 7 and 8, and not for 6, got None for Figure 7"),
        (["6", "euclidean3"], "RUN must be given for Figures 1, 7 and 8, and not for 6"),
        (["1", "euclidean3"], "must have points that can be drawn, got Euclidean(dim=3"),
        (["7", "none"], "must have points of its recurrent layer on one manifold, got none"),
        (["8", "torus", "--out", "x.jpg"], "out must end with .png, .pdf, .svg, got x.jpg"),
    ],
)
def test_bad_requests_end_with_one_line(
    arguments: list[str], message: str, runs: dict[str, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = [str(runs.get(argument, argument)) for argument in arguments]
    with pytest.raises(SystemExit) as ended:
        main(["figure", *arguments])
    assert ended.value.code == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1
