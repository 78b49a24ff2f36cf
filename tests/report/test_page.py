"""Pages of runs: what they hold, that they load nothing, and what they say of runs that lack something."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from plotly.offline import get_plotlyjs

from riemod.report import write_report
from riemod.training import RunDescription, RunError, RunFolder, compress_run, load, start
from tests.report.conftest import Page, read_page, small_run


def page_of(out: Path, *runs: Path, **options: Any) -> Page:
    write_report(runs, out, **options)
    return read_page(out)


@pytest.fixture(scope="module")
def both(runs: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> Page:
    """The page of both runs."""
    return page_of(tmp_path_factory.mktemp("page") / "page.html", *runs.values())


def test_a_page_loads_nothing(both: Page) -> None:
    loading = ("src", "srcset", "href", "data", "poster", "action", "background")
    found = [value for _, attributes in both.tags for name, value in attributes.items() if name in loading]
    assert found
    assert [value for value in found if value and not value.startswith(("#", "data:"))] == []
    policy = next(one["content"] for one in both.of("meta") if one.get("http-equiv") == "Content-Security-Policy")
    assert policy is not None
    assert policy.startswith("default-src 'none'")
    assert "http" not in policy
    assert {name for name, _ in both.tags} & {"iframe", "object", "embed", "base"} == set()


def test_every_figure_has_its_data_and_every_link_its_place(both: Page) -> None:
    names = [attributes["id"] for _, attributes in both.tags if "id" in attributes]
    assert len(set(names)) == len(names)
    figures = [one["id"] for one in both.of("div") if one.get("class") == "plot"]
    assert {f"figure-{name}" for name in figures} == {name for name in both.data if name.startswith("figure-")}
    assert {name.split("-")[0] for name in figures if name} == {
        "curve", "units", "matrix", "distance", "bars", "states"
    }  # fmt: skip
    links = [one["href"] or "" for one in both.of("a")]
    assert {link.removeprefix("#") for link in links} <= set(names)
    for view in (one["data-view"] for one in both.of("figure") if one.get("class") == "turns"):
        assert f"view-{view}" in both.data


def test_numbers_are_those_of_the_records(both: Page, runs: dict[str, Path]) -> None:
    for path in runs.values():
        record = json.loads((path / "record.json").read_text())
        assert f"{100 * record['sparsity']['total']:.4g} %" in both.words
        assert f"{record['parameters']:,}" in both.words
    analysis = json.loads((runs["analyzed"] / "analysis" / "analysis.json").read_text())
    error = json.loads((runs["analyzed"] / "record.json").read_text())["metrics"]["error_top3"]["value"]
    assert f"{error:.4g} cm" in both.words
    assert analysis["verdict"]["reason"] in both.words
    rmse = json.loads((runs["bare"] / "record.json").read_text())["metrics"]["rmse"]["value"]
    bars = [json.loads(line) for line in (runs["bare"] / "metrics.jsonl").read_text().splitlines()]
    curves = [figure for name, figure in both.data.items() if name.startswith("figure-curve")]
    drawn = [trace["y"] for figure in curves for trace in figure["data"] if trace["name"] == "bare"]
    assert [row["eval_rmse"] for row in bars] in drawn
    assert f"{rmse:.4g}" in both.words


def test_a_unit_shows_its_strongest_weights_and_its_tuning(both: Page, runs: dict[str, Path]) -> None:
    view = both.data["view-units-0"]
    run = load(RunFolder(runs["analyzed"]))
    weight = run.model.get_parameter("rnn.weight_hh_l0").detach()
    unit, (first, *_), (largest, *_) = 5, view["incoming"]["units"][5], view["incoming"]["weights"][5]
    others = weight[unit].abs()
    others[unit] = 0
    assert first == int(others.argmax())
    assert largest == pytest.approx(weight[unit, first].item(), rel=1e-3)
    back = view["outgoing"]["units"][5][0]
    assert view["outgoing"]["weights"][5][0] == pytest.approx(weight[back, unit].item(), rel=1e-3)
    assert len(view["points"]) == len(weight)
    assert view["tuning"]["bins"]["kind"] == "line"
    assert len(view["tuning"]["maps"]) == len(view["tuning"]["units"]) == len(view["tuning"]["p_values"])
    assert [one["name"] for one in view["colorings"]] == ["place of most activity, angle", "sum of incoming |weights|"]
    assert both.data["view-units-1"]["tuning"] is None


def test_names_and_levels_of_a_run_are_text_alone(copied: Callable[..., Path], tmp_path: Path) -> None:
    run = copied("bare", "<img src=x onerror=alert(1)> & 'q' \" {{ 7 * 7 }}")
    record = json.loads((run / "record.json").read_text())
    record["levels"]["rmse of </script><b id=bad>"] = {"value": 0.1, "unit": "1"}
    record["commit"] = "<b>bold</b>"
    (run / "record.json").write_text(json.dumps(record))
    page = page_of(tmp_path / "page.html", run)
    assert page.of("img") == []
    assert not [one for one in page.of("b") if one.get("id") == "bad"]
    assert run.name in page.text
    assert "</script><b id=bad>" in page.text
    assert "<b>bold</b>" in page.text
    assert len(page.of("script")) == len(page.data) + 2


def test_the_plotting_library_is_in_the_page_once(both: Page, runs: dict[str, Path], tmp_path: Path) -> None:
    write_report([runs["bare"]], tmp_path / "page.html")
    content = (tmp_path / "page.html").read_text(encoding="utf-8")
    assert content.count(get_plotlyjs()) == 1
    assert len(content) < len(get_plotlyjs()) + 500_000


def test_an_unfinished_run_says_so(tmp_path: Path, runs: dict[str, Path]) -> None:
    description = RunFolder(runs["bare"]).read_description()
    started = tmp_path / "started"
    start(RunFolder(started), description)
    page = page_of(tmp_path / "page.html", started)
    assert (
        f"not finished: 0 of 3 epochs are trained, and the final numbers are missing: riemod resume {started}"
        in page.words
    )
    assert "0 of 3 epochs, not finished" in page.words
    assert "figure-units-0" in page.data


def arrays_of(run: Path) -> Path:
    return run / "analysis" / "arrays.safetensors"


def checkpoint_of(run: Path) -> Path:
    return next((run / "checkpoint").glob("*.safetensors"))


@pytest.mark.parametrize(
    ("damage", "said", "helps"),
    [
        (lambda run: shutil.rmtree(run / "checkpoint"), "not shown: the run has no checkpoint", False),
        (lambda run: checkpoint_of(run).write_bytes(b"x"), "points and weights are not shown: checkpoint", False),
        (lambda run: arrays_of(run).unlink(), "arrays.safetensors cannot be used: it is missing", True),
        (lambda run: arrays_of(run).write_bytes(b"x"), "it is not of this analysis", True),
        (lambda run: (run / "analysis" / "analysis.json").write_text("{}"), "analysis.json is damaged", True),
        (lambda run: change(run, lambda record: record.pop("arrays")), "is of an earlier version of riemod", True),
        (lambda run: change(run, lambda record: record.update(epochs=1)), "analyzed after 1 epochs", True),
        (lambda run: change(run, lambda record: record["run"]["config"].update(seed=7)), "or as another run", True),
        (
            lambda run: change(run, lambda record: record["arena"].update(verdict="wrong")),
            "the arena is: circle",
            False,
        ),
        (lambda run: shutil.rmtree(run / "analysis"), "not analyzed yet: no verdict, no bars, no tuning", True),
    ],
)
def test_what_is_missing_or_damaged_is_said_at_the_top(
    damage: Callable[[Path], object], said: str, helps: bool, copied: Callable[..., Path], tmp_path: Path
) -> None:
    run = copied("analyzed")
    damage(run)
    page = page_of(tmp_path / "page.html", run)
    remarks = page.words[page.words.index("Warning") : page.words.index("Summary", page.words.index("Warning"))]
    assert said in remarks
    assert (f"riemod analyze {run}" in remarks) == helps


def change(run: Path, edit: Callable[[dict[str, Any]], object]) -> None:
    path = run / "analysis" / "analysis.json"
    record = json.loads(path.read_text())
    edit(record)
    path.write_text(json.dumps(record))


def test_what_is_no_run_of_this_version_is_refused_and_nothing_is_written(
    copied: Callable[..., Path], tmp_path: Path
) -> None:
    out = tmp_path / "page.html"
    with pytest.raises(RunError, match=r"run must be a folder with a config\.json"):
        write_report([tmp_path / "nowhere"], out)
    run = copied("bare")
    (run / "metrics.jsonl").write_text("x\ny\n")
    with pytest.raises(RunError, match=r"metrics\.jsonl is damaged: line 1"):
        write_report([run], out)
    (run / "config.json").write_text('{"task": "dancing", "config": {}, "ticket_of": null}')
    with pytest.raises(RunError, match="is no configuration of this version"):
        write_report([run], out)
    assert not out.exists()


def test_only_a_report_is_replaced_unless_asked(runs: dict[str, Path], tmp_path: Path) -> None:
    out = tmp_path / "page.html"
    out.write_text("<html>mine</html>")
    with pytest.raises(RunError, match=r"out must not be a file of something else, got .*: name another, or take"):
        write_report([runs["bare"]], out)
    assert out.read_text() == "<html>mine</html>"
    first = write_report([runs["bare"]], out, overwrite=True)
    again = write_report([runs["bare"]], out)
    assert first == again
    assert out.stat().st_size == first["bytes"]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["page.html"]


def test_a_failed_write_leaves_the_earlier_page(
    runs: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "page.html"
    write_report([runs["bare"]], out)
    before = out.read_bytes()

    def full(self: Path, target: Path) -> Path:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "replace", full)
    with pytest.raises(OSError, match="No space left"):
        write_report([runs["analyzed"]], out)
    assert out.read_bytes() == before
    assert sorted(path.name for path in tmp_path.iterdir()) == ["page.html"]


def test_bad_requests_name_the_argument(runs: dict[str, Path], tmp_path: Path) -> None:
    run = runs["bare"]
    with pytest.raises(ValueError, match=r"out must end with \.html or \.htm, got page\.pdf"):
        write_report([run], Path("page.pdf"))
    with pytest.raises(RunError, match="out must be in a folder that exists"):
        write_report([run], tmp_path / "new" / "page.html")
    with pytest.raises(ValueError, match="runs must be from 1 to 6, got 0"):
        write_report([], tmp_path / "page.html")
    with pytest.raises(ValueError, match="runs must be from 1 to 6, got 7"):
        write_report([run] * 7, tmp_path / "page.html")
    with pytest.raises(ValueError, match="runs must be different, got one twice"):
        write_report([run, run / ".." / run.name], tmp_path / "page.html")
    with pytest.raises(RunError, match=r"compressed must be folders that riemod compress made.*no compression\.json"):
        write_report([run], tmp_path / "page.html", compressed=[run])


@pytest.mark.filterwarnings("ignore:nothing was compressed")
def test_the_speed_of_a_compressed_net_is_that_of_its_run(runs: dict[str, Path], tmp_path: Path) -> None:
    record = compress_run(load(RunFolder(runs["bare"])), tmp_path / "fast")
    seconds = record["seconds_a_batch"]
    page = page_of(tmp_path / "page.html", *runs.values(), compressed=[tmp_path / "fast"])
    assert f"{seconds['before'] / seconds['after']:.2f} times as fast once compressed" in page.words
    with pytest.raises(RunError, match="compressed must be nets of these runs"):
        write_report([runs["analyzed"]], tmp_path / "page.html", compressed=[tmp_path / "fast"])


def test_runs_that_do_not_compare_are_told_apart(both: Page) -> None:
    assert "the runs are of different tasks (adding, navigation): their numbers do not compare" in both.words
    assert both.words.count("smoke runs are too short to learn anything") == 1
    differ = both.words[both.words.index("Where the runs differ") : both.words.index("what all runs share")]
    assert "task navigation adding" in differ
    assert "--seed" not in differ


def test_gates_are_summed_and_points_without_a_picture_are_scaled(tmp_path: Path) -> None:
    run = small_run(tmp_path / "run", "adding", hidden_size=10, cell="gru", manifold="torus6", learn=False)
    page = page_of(tmp_path / "page.html", run)
    assert "The weights of all 3 gates are summed." in page.words
    assert "fixed points of 10 units" in page.words
    assert "The three main directions of Torus(dim=6, period=10)" in page.words


def test_a_net_without_points_has_its_weights_in_the_order_of_places(
    runs: dict[str, Path], copied: Callable[..., Path], tmp_path: Path
) -> None:
    run = small_run(tmp_path / "run", "adding", hidden_size=10, manifold="none", learn=False)
    page = page_of(tmp_path / "page.html", run)
    assert "in the order of their numbers, for nothing says which are near" in page.words
    assert "figure-units-0" not in page.data
    assert "no moduli penalty" in page.words


def test_descriptions_of_runs_are_read_by_their_names(runs: dict[str, Path], tmp_path: Path) -> None:
    first, second = tmp_path / "x" / "run", tmp_path / "y" / "run"
    for path in (first, second):
        shutil.copytree(runs["bare"], path)
    page = page_of(tmp_path / "page.html", first, second)
    assert [one["data-run"] for one in page.of("input") if one["type"] == "checkbox"] == ["x/run", "y/run"]
    assert isinstance(RunFolder(first).read_description(), RunDescription)
