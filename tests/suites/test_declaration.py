"""Declarations: what they plan, what is refused, and that those of riemod plan what the committed records are of."""

import json
import re
import shutil
import tomllib
from collections.abc import Callable
from pathlib import Path

import pytest

from riemod.suites import SuiteError, cells, load_suite, suite_names
from riemod.suites.declaration import read_declaration
from riemod.tasks import TASKS
from riemod.training import RunDescription

ROOT = Path(__file__).parents[2]
RECORDS = ROOT / "benchmarks" / "records"
Declare = Callable[..., Path]
# Records of no suite.
OTHERS = {"speed", "adding-cpu"}
PRESETS = [
    (name, preset)
    for name in suite_names()
    for preset in ("smoke", "cpu-small", "cpu", "paper")
    if re.search(rf"^\[presets\.{preset}\]", (ROOT / f"benchmarks/suites/{name}.toml").read_text(), re.MULTILINE)
]


def test_runs_are_planned_with_seeds_outermost(declare: Declare):
    suite = load_suite(declare(), "smoke", seeds=[0, 1])
    names = [(run.seed, run.sparsity, run.arm) for run in suite.runs]
    arms = ["none", "shuffled", "torus learned"]
    tickets = ["none", "permuted", "wide", "torus learned"]
    for seed in (0, 1):
        own = names[seed * 10 : seed * 10 + 10]
        assert own[:6] == [(seed, sparsity, arm) for sparsity in (0.0, 0.5) for arm in arms]
        assert sorted(own[6:]) == sorted((seed, 0.5, f"{arm}, lottery") for arm in tickets)
    assert suite.arms[:3] == tuple(arms)
    assert len({run.key for run in suite.runs}) == len(suite.runs) == 20


def test_options_of_preset_arm_and_caller_take_precedence_in_turn(declare: Declare):
    path = declare(("[presets.smoke]", "[presets.smoke]\noptions = { steps = 5, batch_size = 9 }"))
    runs = load_suite(path, "smoke", {"threads": 1}, seeds=[7]).runs
    assert {run.config.to_dict()["steps"] for run in runs} == {5}
    assert {run.config.to_dict()["batch_size"] for run in runs} == {9}
    assert {run.config.to_dict()["threads"] for run in runs} == {1}
    assert {run.config.seed for run in runs} == {run.seed for run in runs} == {7}


def test_a_ticket_has_its_parent_s_configuration_and_fixed_points(declare: Declare):
    runs = load_suite(declare(), "smoke").runs
    ticket = next(run for run in runs if run.arm == "torus learned, lottery")
    assert ticket.ticket is not None
    parent = ticket.ticket.parent
    assert (parent.arm, parent.sparsity, parent.seed) == ("torus learned", 0.5, 0)
    assert ticket.config == parent.config.replace(learn=False)
    assert ticket.records == "tiny/smoke-tickets-lottery"


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ("replicas = 3", "replicsa = 3", r"tiny\.toml: keys must be .*, got 'replicsa': did you mean 'replicas'"),
        ('title = "Runs that take milliseconds"', "", r"tiny\.toml: must have the key 'title'"),
        ('task = "adding"', 'task = "ading"', r"task must be 'navigation', .*, got 'ading': did you mean 'adding'"),
        ('control = "shuffled"', 'control = "shufled"', r"control must be 'none', .* did you mean 'shuffled'"),
        ('metrics = ["rmse"]', 'metrics = ["rsme"]', r"metrics must be 'loss' or 'rmse', got 'rsme': did you"),
        ("replicas = 3", "replicas = 0", r"replicas must be >= 1, got 0"),
        ("sparsities = [0.0, 0.5]", "sparsities = [1.5]", r"sparsities\[0\] must be from 0 to 1, got 1\.5"),
        ("sparsities = [0.0, 0.5]", "", r"sparsities must be given for all presets or in presets\.smoke"),
        ("seeds = [0]", "seeds = []", r"seeds must have at least one number, got \[\]"),
        ("seeds = [0]", "seeds = [-1]", r"seeds\[0\] must be >= 0, got -1"),
        ("steps = 4", "stpes = 4", r"options must have options of `riemod train adding`, got 'stpes': did you"),
        ("steps = 4", "seed = 4", r"options must not set 'seed'"),
        ("steps = 4", 'steps = "4"', r"arm 'none' at preset 'smoke': steps must be of type int, got '4'"),
        ("[presets.smoke]", "[presets.smok]", r"presets must be 'smoke', 'cpu' or 'paper', got 'smok': did you mean"),
        ("[presets.smoke]", '[presets.smoke]\narms = ["shufled"]', r"arms must be .* did you mean 'shuff"),
        ("[presets.smoke]", '[presets.smoke]\narms = ["none"]', r"must be one of the arms at this preset, 'none'"),
        ("[presets.smoke]", "[presets.smoke]\narms = []", r"presets\.smoke\.arms must name at least one arm"),
        ("[presets.smoke]", "[presets.smoke]\nseed = [0]", r"presets\.smoke must have .* did you mean 'seeds'"),
        ('"none" = {}', '"none" = { manfold = "torus" }', r"arms\.'none' must have options .* did you mean 'manifold'"),
        ('"none" = {}', '"none" = { manifold = "toruss" }', r"arm 'none' .* manifold must be .*, got 'toruss'"),
        ('"none" = {}', '"none" = {}\n"torus-learned" = {}', r"names that differ in more than spaces and -"),
        ('"none" = {}', '"none" = { sparsities = [] }', r"arms\.'none'\.sparsities must have at least one number, got"),
        ('"none" = {}', '"none" = { sparsities = [2] }', r"arms\.'none': sparsities\[0\] must be from 0 to 1, got 2"),
        ('title = "', 'protocol = "as published"\ntitle = "', r"protocol must be 'matched' or 'published', got"),
        ('"none" = {}', '"none" = { strength = "outo" }', r"strength must be 'auto' or a float, got 'outo'"),
        ('above = 0.75', 'above = "x"', r"lost\[0\]\.above must be a number, got 'x'"),
        ('metric = "rmse"', 'metric = "rms"', r"lost\[0\]\.metric must be .* did you mean 'rmse'"),
        ('of = "none", mask = "permuted"', 'of = "nine"', r"'permuted'\.of must be .* did you mean 'none'"),
        ('mask = "permuted"', 'mask = "shaken"', r"mask must be 'kept' or 'permuted', got 'shaken'"),
        ('embedding = "new"', 'embeding = "new"', r"did you mean 'embedding'"),
        ("spectral_radius = 1.5", "spectral_radius = -1", r"spectral_radius must be >= 0, got -1"),
        ("replicas = 3", "replicas = ", r"is no declaration of a suite: "),
    ],
)  # fmt: skip
def test_a_wrong_declaration_is_refused(old: str, new: str, expected: str, declare: Declare):
    with pytest.raises(SuiteError, match=expected) as caught:
        load_suite(declare((old, new)), "smoke")
    assert "tiny.toml" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_an_arm_may_have_sparsities_of_its_own(declare: Declare):
    runs = load_suite(declare(('"none" = {}', '"none" = { sparsities = [0.25, 0.5] }')), "smoke").runs
    found = {arm: [run.sparsity for run in runs if run.arm == arm] for arm in ("none", "shuffled", "none, lottery")}
    assert found == {"none": [0.25, 0.5], "shuffled": [0.5, 0.0], "none, lottery": [0.25, 0.5]}


def test_a_suite_without_arms_is_refused(declare: Declare):
    path = declare()
    text = path.read_text()
    path.write_text(text[: text.index("[arms]")] + "[arms]\n")
    with pytest.raises(SuiteError, match=r"arms must not be empty, got \{\}"):
        load_suite(path, "smoke")


@pytest.mark.parametrize(
    ("suite", "preset", "expected"),
    [
        ("ading", "smoke", "suite must be 'adding', .* did you mean 'adding'"),
        ("adding", "smok", "preset must be 'smoke', 'cpu' or 'paper', got 'smok': did you mean 'smoke'"),
        ("nowhere/adding.toml", "smoke", "no such file"),
    ],
)
def test_an_unknown_suite_or_preset_is_refused(suite: str, preset: str, expected: str):
    with pytest.raises(SuiteError, match=expected):
        load_suite(suite, preset)


def test_only_some_tasks_train_side_by_side(declare: Declare):
    with pytest.raises(SuiteError, match="replicas must be 1 for task='navigation'; side by side train runs of adding"):
        load_suite(
            declare(
                ('task = "adding"', 'task = "navigation"'),
                ('metrics = ["rmse"]', 'metrics = ["error_top3"]'),
                ('metric = "rmse"', 'metric = "error_top3"'),
                ("steps = 4", "landmarks = 16"),
            ),
            "smoke",
        )


@pytest.mark.parametrize(("name", "preset"), PRESETS)
def test_every_suite_can_be_planned(name: str, preset: str):
    suite = load_suite(name, preset)
    assert suite.control in suite.arms
    assert len({(run.records, run.name) for run in suite.runs}) == len(suite.runs)
    assert len({run.key for run in suite.runs}) == len(suite.runs)
    assert set(suite.metrics) <= TASKS[suite.task].units.keys()


def test_committed_records_are_of_the_runs_that_the_suites_plan():
    found: dict[Path, int] = {}
    for name, preset in PRESETS:
        suite = load_suite(name, preset)
        assert len(list(cells(suite, RECORDS))) == sum(
            (RECORDS / run.records / f"{run.name}.json").is_file() for run in suite.runs
        )
        for run in suite.runs:
            path = RECORDS / run.records / f"{run.name}.json"
            if not path.is_file():
                continue
            found[path] = found.get(path, 0) + 1
            own = run.config.to_dict()
            other = RunDescription.from_dict(json.loads(path.read_text())).config.to_dict()
            free = {"threads", "data"}
            free |= {"sparsity"} if run.ticket else set()
            free |= set() if run.config.regularization.learn else {"embedding_learning_rate"}
            assert {key: (own[key], other[key]) for key in own if key not in free and own[key] != other[key]} == {}
    committed = {path for path in RECORDS.glob("*/**/*.json") if path.relative_to(RECORDS).parts[0] not in OTHERS}
    committed -= set(RECORDS.glob("*/*/measured.json"))  # what riemod measure writes
    assert found.keys() == committed


def test_the_declaration_of_the_manual_can_be_planned(tmp_path: Path):
    page = (ROOT / "docs" / "benchmarks.md").read_text(encoding="utf-8")
    block = page[page.index("    title = ") : page.index("## On a cluster")]
    (tmp_path / "mine.toml").write_text("\n".join(line.removeprefix("    ") for line in block.splitlines()))
    runs = load_suite(tmp_path / "mine.toml", "cpu").runs
    assert {run.arm for run in runs} == {"none", "DoG", "Ricker", "DoG, lottery", "random, lottery"}
    assert len(runs) == (4 * 2 + 1) * 3
    assert {run.seed for run in load_suite(tmp_path / "mine.toml", "smoke").runs} == {0}


def test_the_wheel_holds_the_declarations_where_they_are_looked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    build = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["hatch"]["build"]["targets"]["wheel"]
    place = build["force-include"]["benchmarks/suites"]
    shutil.copytree(ROOT / "benchmarks" / "suites", tmp_path / place)
    monkeypatch.setattr("importlib.resources.files", lambda package: tmp_path / package.replace(".", "/"))
    assert suite_names() == sorted(path.stem for path in (ROOT / "benchmarks" / "suites").glob("*.toml"))
    assert str(read_declaration("adding").file) == str(tmp_path / "riemod/suites/declarations/adding.toml")
