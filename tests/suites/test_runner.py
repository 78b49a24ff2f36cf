"""The runner: what it trains and in which order, what it leaves alone, and what it makes of failures."""

import json
import shutil
from collections.abc import Callable
from concurrent.futures import Executor, Future
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import torch

from riemod.suites import Suite, SuiteError, cells, load_suite, runner
from riemod.suites.plan import PlannedRun
from riemod.suites.rows import run_folder
from riemod.suites.runner import Progress, Report, run_suite
from riemod.training import RunFolder, load, train
from tests.suites.conftest import TINY, Inline
from tests.training.test_lock import held_elsewhere

Declare = Callable[..., Path]


def run(suite: Suite, folder: Path, executor: Executor, **named: Any) -> Report:
    return run_suite(suite, folder, lambda: executor, lambda: 1, **named)


def no_executor() -> Executor:
    pytest.fail("there is nothing to train")


def files(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.fixture(autouse=True, scope="module")
def keep_threads() -> Any:
    """Work sets the number of threads of its process."""
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


@pytest.fixture
def tiny(declare: Declare) -> Suite:
    return load_suite(declare(), "smoke")


class Finished(NamedTuple):
    folder: Path
    report: Report
    progress: list[Progress]
    jobs: list[Any]


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory, keep_threads: Any) -> Finished:
    """The tiny suite, trained once for all tests, which copy it."""
    folder, executor, seen = tmp_path_factory.mktemp("finished"), Inline(), list[Progress]()
    (folder / "tiny.toml").write_text(TINY, encoding="utf-8")
    report = run(load_suite(folder / "tiny.toml", "smoke"), folder / "out", executor, report=seen.append)
    return Finished(folder / "out", report, seen, [job for (job,) in executor.calls])


@pytest.fixture
def out(finished: Finished, tmp_path: Path) -> Path:
    """A folder with every run of the tiny suite."""
    return shutil.copytree(finished.folder, tmp_path / "out")


@pytest.fixture
def few(declare: Declare) -> Suite:
    """Three runs and no tickets."""
    path = declare(("sparsities = [0.0, 0.5]", "sparsities = [0.5]"))
    path.write_text(path.read_text().split("[tickets")[0])
    return load_suite(path, "smoke")


def test_every_run_is_trained_once_and_leaves_a_row(tiny: Suite, finished: Finished, out: Path):
    assert finished.report == Report(10, 0, {})
    assert max(len(job.runs) for job in finished.jobs) == 3
    assert [p.runs_done for p in finished.progress] == sorted(p.runs_done for p in finished.progress)
    assert finished.progress[-1] == Progress(10, 0, 0, 10, 120, 120)
    rows = list(cells(tiny, out))
    assert {(row.arm, row.sparsity, row.seed) for row in rows} == {(r.arm, r.sparsity, r.seed) for r in tiny.runs}
    assert all(row.metrics.keys() == {"loss", "rmse", "lost", "wall_time"} for row in rows)
    assert all(row.metrics["lost"] == float(row.metrics["rmse"] > 0.75 * (1 / 6) ** 0.5) for row in rows)
    before = files(out)
    assert run_suite(tiny, out, no_executor, lambda: 1) == Report(0, 10, {})
    assert files(out) == before


def test_a_row_says_its_place_in_the_suite(few: Suite, out: Path):
    row = json.loads((out / "tiny/smoke/torus-learned-50-seed0.json").read_text())
    key = next(run.key for run in few.runs if run.arm == "torus learned")
    assert row["suite"] == {
        "name": "tiny",
        "preset": "smoke",
        "arm": "torus learned",
        "sparsity": 0.5,
        "seed": 0,
        "key": key,
    }
    record = RunFolder(out / "runs" / key).read_record()
    assert {name: row[name] for name in ("metrics", "levels", "zeros")} == {
        name: record[name] for name in ("metrics", "levels", "zeros")
    }


def test_tickets_keep_what_their_declaration_says(tiny: Suite, out: Path):
    def ended(arm: str) -> Any:
        return load(run_folder(out, next(r for r in tiny.runs if (r.arm, r.sparsity) == (arm, 0.5))))

    for arm, same in {"none, lottery": True, "permuted, lottery": False}.items():
        masks, parents = ended(arm).pruner.masks(), ended("none").pruner.masks()
        assert all(masks[name].count_nonzero() == parents[name].count_nonzero() for name in masks)
        assert all(torch.equal(masks[name], parents[name]) for name in masks) == same
    learned, new = ended("torus learned"), ended("torus learned, lottery")
    assert all(torch.equal(mask, new.pruner.masks()[name]) for name, mask in learned.pruner.masks().items())
    assert not torch.equal(learned.moduli.points, new.moduli.points)
    kept, shuffled = ended("wide, lottery"), ended("shuffled")
    assert torch.equal(kept.moduli.coefficients(), shuffled.moduli.coefficients())
    row = json.loads((out / "tiny/smoke-tickets-lottery/wide-50-seed0.json").read_text())
    assert row["ticket_of"] == f"runs/{next(r.key for r in tiny.runs if (r.arm, r.sparsity) == ('shuffled', 0.5))}"


def test_interrupted_runs_go_on_from_their_checkpoints(few: Suite, finished: Finished, out: Path, inline: Inline):
    # As if the runner and its worker had been killed in the second epoch: one run committed an epoch, one none.
    first, second, third = few.runs
    for planned, epochs in ((first, 1), (second, 0)):
        _restart(out, planned, epochs)
        (out / "tiny/smoke" / f"{planned.name}.json").unlink()
    # The record of a run that was not copied yet is found.
    (out / "tiny/smoke" / f"{third.name}.json").unlink()
    assert run(few, out, inline) == Report(2, 1, {})
    assert [[planned.name for planned in job.runs] for (job,) in inline.calls] == [[first.name, second.name]]
    for row, whole in zip(cells(few, out), cells(few, finished.folder), strict=True):
        assert row[:3] == whole[:3]
        assert row.metrics["rmse"] == pytest.approx(whole.metrics["rmse"], rel=1e-4)
    assert len(run_folder(out, first).read_metrics()) == 3


def _restart(folder: Path, planned: PlannedRun, epochs: int) -> None:
    """Bring a run back to where it was after so many epochs."""
    path = run_folder(folder, planned).path
    if epochs == 0:
        # Killed while it wrote its configuration.
        shutil.rmtree(path)
        path.mkdir()
        (path / ".config.json.partial").write_text("{")
        return
    for file in path.rglob("*"):
        if file.is_file() and file.name != "config.json":
            file.unlink()

    class Stop(Exception):
        pass

    def stop(step: int, total: int, row: dict[str, float]) -> None:
        if step > epochs * planned.config.training.batches_per_epoch:
            raise Stop

    with pytest.raises(Stop):
        train(load(RunFolder(path)), stop)
    assert load(RunFolder(path)).epoch == epochs


def test_a_ticket_that_was_killed_before_its_first_checkpoint_is_drawn_again(tiny: Suite, out: Path, inline: Inline):
    masks = {}
    chosen = [planned for planned in tiny.runs if planned.arm in ("permuted, lottery", "wide, lottery")]
    for planned in chosen:
        folder = run_folder(out, planned)
        masks[planned.key] = load(folder).pruner.masks()
        for file in folder.path.rglob("*"):
            if file.is_file() and file.name != "config.json":
                file.unlink()
        (out / planned.records / f"{planned.name}.json").unlink()
    assert run(tiny, out, inline).trained == 2
    for planned in chosen:
        drawn = load(run_folder(out, planned)).pruner.masks()
        assert all(torch.equal(mask, masks[planned.key][name]) for name, mask in drawn.items())


def test_runs_are_found_by_other_suites(declare: Declare, out: Path, inline: Inline):
    path = declare(
        ('"none" = {}', '"nothing" = {}\n"more" = { manifold = "circle" }'),
        ("sparsities = [0.0, 0.5]", "sparsities = [0.5]"),
        name="other",
    )
    path.write_text(path.read_text().split("[tickets")[0])
    assert run(load_suite(path, "smoke"), out, inline) == Report(1, 3, {})


def test_a_run_that_fails_is_tried_once_more_and_the_others_go_on(declare: Declare, tmp_path: Path, inline: Inline):
    path = declare(
        ('"none" = {}', '"none" = { learning_rate = 1e20 }'),
        ("sparsities = [0.0, 0.5]", "sparsities = [0.5]"),
    )
    suite = load_suite(path, "smoke")
    report = run(suite, tmp_path / "out", inline)
    assert report.trained == len(suite.runs) - 3
    assert report.failures.keys() == {f"{arm}, 0.5, seed 0" for arm in ("none", "none, lottery", "permuted, lottery")}
    assert report.failures["none, 0.5, seed 0"].startswith("TrainingDiverged: ")
    assert report.failures["none, lottery, 0.5, seed 0"].startswith("its parent failed: TrainingDiverged")
    assert sum(any(r.arm == "none" for r in job.runs) for (job,) in inline.calls) == 2
    inline.calls.clear()
    # Given again, the runs that failed are tried again.
    assert run(suite, tmp_path / "out", inline).failures.keys() == report.failures.keys()


def test_a_worker_that_is_lost_is_reported_if_it_happens_twice(few: Suite, tmp_path: Path):
    class Broken(Executor):
        def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
            future: Future[Any] = Future()
            future.set_exception(OSError("gone"))
            return future

    report = run(few, tmp_path / "out", Broken())
    assert list(report.failures.values()) == ["the worker was lost: gone"] * 3


def test_the_folder_of_another_suite_is_refused_and_left_as_it_is(
    declare: Declare, few: Suite, out: Path, inline: Inline
):
    before = files(out)
    other = load_suite(declare(('manifold = "torus", learn', 'manifold = "circle", learn')), "smoke")
    expected = r"torus-learned-0-seed0\.json must be of .* 'tiny' .* manifold='torus' in place of 'circle'"
    with pytest.raises(SuiteError, match=expected):
        run(other, out, inline)
    with pytest.raises(SuiteError, match="out must be a folder for the results of suites, got the folder of one run"):
        run(few, out / "runs" / few.runs[0].key, inline)
    assert files(out) == before


def test_a_damaged_row_is_refused(few: Suite, out: Path):
    (out / "tiny/smoke/none-50-seed0.json").write_text('{"task": ')
    with pytest.raises(SuiteError, match=r"none-50-seed0\.json is damaged"):
        list(cells(few, out))


def test_a_parent_whose_record_alone_is_here_is_trained_again_for_its_ticket(
    tiny: Suite, out: Path, tmp_path: Path, inline: Inline
):
    # A folder of committed records has rows alone; one ticket is missing.
    place = tmp_path / "committed"
    shutil.copytree(out / "tiny", place / "tiny")
    (place / "tiny/smoke-tickets-lottery/wide-50-seed0.json").unlink()
    before = files(place)
    assert run(tiny, place, inline) == Report(1, 9, {})
    assert [[planned.arm for planned in job.runs] for (job,) in inline.calls] == [["shuffled"], ["wide, lottery"]]
    assert len(list(cells(tiny, place))) == 10
    assert files(place).items() >= before.items()


def test_a_run_that_another_process_trains_is_waited_for(
    few: Suite, tmp_path: Path, inline: Inline, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(runner, "_TICK", 0.01)
    monkeypatch.setattr(runner, "_AGAIN", 0.02)
    folder = run_folder(tmp_path / "out", few.runs[1]).path
    folder.mkdir(parents=True)
    seen: list[Progress] = []
    with held_elsewhere(folder) as process:

        def report(progress: Progress) -> None:
            seen.append(progress)
            if progress.runs_elsewhere and process.poll() is None and len(inline.calls) > 3:
                process.kill()
                process.wait()

        assert run(few, tmp_path / "out", inline, report=report) == Report(3, 0, {})
    assert any(progress.runs_elsewhere == 1 and progress.runs_done == 2 for progress in seen)


def test_a_record_that_another_runner_copies_now_is_left_to_it(few: Suite, out: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(runner, "_TICK", 0.01)
    row = out / "tiny/smoke" / f"{few.runs[0].name}.json"
    before = row.read_bytes()
    row.unlink()
    with held_elsewhere(run_folder(out, few.runs[0]).path):
        assert run_suite(few, out, no_executor, lambda: 1) == Report(0, 3, {})
        assert not row.exists()
    assert run_suite(few, out, no_executor, lambda: 1) == Report(0, 3, {})
    assert row.read_bytes() == before


def test_a_run_that_hangs_in_another_process_is_reported(
    few: Suite, tmp_path: Path, inline: Inline, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(runner, "_TICK", 0.01)
    monkeypatch.setattr(runner, "_AGAIN", 0.02)
    monkeypatch.setattr(runner, "_PATIENCE", 0.2)
    folder = run_folder(tmp_path / "out", few.runs[1]).path
    folder.mkdir(parents=True)
    with held_elsewhere(folder) as process:
        report = run(few, tmp_path / "out", inline)
        assert f"it is trained by process {process.pid}" in report.failures["shuffled, 0.5, seed 0"]
    assert report.trained == 2


def test_a_worker_of_another_version_trains_nothing(
    few: Suite, tmp_path: Path, inline: Inline, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(runner, "versions", lambda: {"riemod": "99", "torch": torch.__version__})
    report = run(few, tmp_path / "out", inline)
    assert all("must have the versions of the runner, got riemod 0." in text for text in report.failures.values())
    assert len(report.failures) == 3
    assert not any((tmp_path / "out").rglob("config.json"))


def test_a_folder_that_cannot_be_made_is_said(few: Suite, tmp_path: Path, inline: Inline):
    (tmp_path / "file").write_text("")
    with pytest.raises(SuiteError, match="got a file"):
        run(few, tmp_path / "file", inline)
    with pytest.raises(OSError, match="file"):
        run(few, tmp_path / "file" / "out", inline)
