"""`riemod curves`: the learning curves of a suite."""

from pathlib import Path

import numpy as np
import pytest
from matplotlib.image import imread

from riemod.cli import main
from riemod.suites import SuiteError, cells, load_suite
from riemod.suites.curves import learning_curves
from riemod.suites.rows import run_folder
from riemod.suites.runner import run_suite
from riemod.suites.sensitivity import sensitivity
from tests.suites.conftest import TINY, Inline


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a declaration, tiny.toml, and its results."""
    folder = tmp_path_factory.mktemp("suite")
    text = TINY.replace("seeds = [0]", "seeds = [0, 1]").replace("sparsities = [0.0, 0.5]", "sparsities = [0.5]")
    (folder / "tiny.toml").write_text(text[: text.index("[tickets")], encoding="utf-8")
    run_suite(load_suite(folder / "tiny.toml", "smoke", {"threads": 1}), folder / "out", Inline, lambda: 1)
    return folder


def test_curves_are_those_of_the_metrics_files(trained: Path) -> None:
    suite = load_suite(trained / "tiny.toml", "smoke")
    curves = learning_curves(suite, trained / "out", "eval_rmse")[0.5]
    assert list(curves) == ["none", "shuffled", "torus learned"]
    first = next(run for run in suite.runs if (run.arm, run.seed) == ("none", 0))
    rows = run_folder(trained / "out", first).read_metrics()
    np.testing.assert_array_equal(curves["none"].places, [0, 1, 2])
    np.testing.assert_array_equal(curves["none"].values[0], [row["eval_rmse"] for row in rows])
    assert curves["none"].values.shape == (2, 3)


def test_the_command_draws_them(trained: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = trained / "curves.png"
    main(
        [
            "curves",
            str(trained / "tiny.toml"),
            "--preset",
            "smoke",
            "--results",
            str(trained / "out"),
            "--out",
            str(out),
        ]
    )
    assert capsys.readouterr().out == f"{out}\n"
    assert imread(out).shape[1] > 1000


def test_what_is_missing_is_named(trained: Path, tmp_path: Path) -> None:
    suite = load_suite(trained / "tiny.toml", "smoke")
    with pytest.raises(SuiteError, match=r"metric must be one of .*eval_rmse.*, got 'eval_rsme'"):
        learning_curves(suite, trained / "out", "eval_rsme")
    with pytest.raises(SuiteError, match="has no run of suite 'tiny' at preset 'smoke' that has begun"):
        learning_curves(suite, tmp_path, "loss")


def strengths(folder: Path) -> Path:
    """A declaration of three strengths, of which one is found, and its results."""
    text = TINY.replace("seeds = [0]", "seeds = [0, 1]").replace("sparsities = [0.0, 0.5]", "sparsities = [0.5]")
    text = text[: text.index("[arms]")].replace('"shuffled"', '"torus 0.1"')
    arms = [
        '"none" = {}',
        '"torus 0.1" = { manifold = "torus", strength = 0.1 }',
        '"torus 36" = { manifold = "torus", strength = 1.0, reduction = "sum" }',
        '"torus auto" = { manifold = "torus", strength = "auto" }',
    ]
    path = folder / "strengths.toml"
    path.write_text(text + "[arms]\n" + "\n".join(arms), encoding="utf-8")
    run_suite(load_suite(path, "smoke", {"threads": 1}), folder / "out", Inline, lambda: 1)
    return path


def test_curves_over_strengths_are_read_from_the_records(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = strengths(tmp_path)
    suite = load_suite(path, "smoke")
    ((sparsity, arms),) = sensitivity(suite, tmp_path / "out", "rmse").items()
    assert (sparsity, list(arms)) == (0.5, ["torus"])
    curve, found = arms["torus"]
    assert curve is not None
    # Six neurons: a mean over 36 weights.
    np.testing.assert_allclose(curve.places, [0.1 / 36, 1.0], rtol=1e-3)
    rows = {(row.arm, row.seed): row.metrics["rmse"] for row in cells(suite, tmp_path / "out")}
    np.testing.assert_array_equal(curve.values, [[rows["torus 0.1", s], rows["torus 36", s]] for s in (0, 1)])
    records = [run_folder(tmp_path / "out", run).read_record() for run in suite.runs if run.arm == "torus auto"]
    assert [error for _, error in found] == [record["metrics"]["rmse"]["value"] for record in records]
    np.testing.assert_allclose([own for own, _ in found], [record["strength"]["value"] / 36 for record in records])
    out = tmp_path / "strengths.png"
    main(
        [
            *("curves", str(path), "--preset", "smoke", "--over", "strength"),
            *("--results", str(tmp_path / "out"), "--out", str(out)),
        ]
    )
    assert capsys.readouterr().out == f"{out}\n"
    assert imread(out).shape[1] > 1000
    with pytest.raises(SuiteError, match="has no finished run"):
        sensitivity(suite, tmp_path, "rmse")
    with pytest.raises(ValueError, match="metric must be"):
        sensitivity(suite, tmp_path / "out", "eval_rmse")
