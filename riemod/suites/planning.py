"""Planning: from a declaration at one preset to every run of it, each with its whole configuration."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from riemod._checks import check_integer, check_items, check_mapping, check_text, check_type
from riemod._untrusted import one_line
from riemod.suites.declaration import Arm, Declaration, Draw, check_name, listed, read_declaration
from riemod.suites.errors import SuiteError
from riemod.suites.plan import Loss, PlannedRun, Suite, Ticket
from riemod.tasks import TASKS, RunConfig
from riemod.tasks.base import ReplicaTask

_SEEDS = "a list of integers, or None"


def load_suite(
    suite: str | Path, preset: str, options: Mapping[str, Any] | None = None, seeds: Iterable[int] | None = None
) -> Suite:
    """Read a declaration at one preset, and check everything in it.

    Args:
        suite: name of a suite that riemod brings, or the path of a TOML file.
        preset: one that the declaration names.
        options: numbers of every run in place of the declaration's, such as the folder of a text.
        seeds: in place of the declaration's; None for these.

    Raises:
        TypeError: for an argument of another type.
        SuiteError: for an unknown suite, key, arm or preset, a suite without runs or without its control, or numbers
            that no run can have. The message names the file, the key and what is allowed.

    >>> load_suite("adding", "smoke").task
    'adding'
    """
    check_type("suite", suite, (str, Path), "a suite's name or a Path")
    check_text("preset", preset)
    changes = (
        {} if options is None else dict(check_mapping("options", options, "a mapping from name to number, or None"))
    )
    chosen = (
        None if seeds is None else [check_integer("seeds", seed, 0) for seed in check_items("seeds", seeds, _SEEDS)]
    )
    if chosen is not None and not chosen:
        raise SuiteError("seeds must hold at least one, got none")
    declaration = read_declaration(suite)
    own, values = _preset(declaration, preset), declaration.values
    runs = _runs(declaration, preset, changes, None if chosen is None else list(dict.fromkeys(chosen)))
    return Suite(
        name=declaration.name,
        preset=preset,
        title=values["title"],
        task=values["task"],
        tables=tuple(values.get("tables", ())),
        protocol=values.get("protocol", "matched"),
        control=values["control"],
        metrics=tuple(values["metrics"]),
        losses=tuple(Loss(**loss) for loss in values["lost"]),
        replicas=own.get("replicas", values.get("replicas", 1)),
        runs=tuple(runs),
    )


def _preset(declaration: Declaration, preset: str) -> Mapping[str, Any]:
    """Return what the declaration says of a preset, checked against what it says of all."""
    values, presets = declaration.values, declaration.values["presets"]
    check_name(f"{declaration.file}: preset", preset, presets)
    own = presets[preset]
    replicas = own.get("replicas", values.get("replicas", 1))
    if replicas > 1 and not issubclass(declaration.task, ReplicaTask):
        able = ", ".join(name for name, task in TASKS.items() if issubclass(task, ReplicaTask))
        must = f"must be 1 for task={values['task']!r}; side by side train runs of {able}"
        declaration.fail("replicas", must, replicas)
    arms = own.get("arms", list(values["arms"]))
    if not arms:
        declaration.fail(f"presets.{preset}.arms", "must name at least one arm", arms)
    if values["control"] not in arms:
        declaration.fail("control", f"must be one of the arms at this preset, {listed(arms)}", values["control"])
    return own


def _runs(declaration: Declaration, preset: str, options: dict[str, Any], seeds: list[int] | None) -> list[PlannedRun]:
    values, own = declaration.values, declaration.values["presets"][preset]
    base = declaration.task.presets[preset]
    sparsities, seeds = declaration.list_of("sparsities", preset), seeds or declaration.list_of("seeds", preset)
    common = values.get("options", {}) | own.get("options", {})

    def run(arm: str, sparsity: float, seed: int) -> PlannedRun:
        own_numbers = {key: value for key, value in values["arms"][arm].items() if key not in Arm.__annotations__}
        changes = common | own_numbers | options | {"sparsity": float(sparsity), "seed": seed}
        return PlannedRun(
            task=values["task"],
            arm=arm,
            sparsity=float(sparsity),
            seed=seed,
            config=_config(declaration, base, changes, arm),
            records=own.get("records", f"{declaration.name}/{preset}"),
            name=_run_name(arm, sparsity, seed),
        )

    arms = {arm: values["arms"][arm].get("sparsities", sparsities) for arm in own.get("arms", list(values["arms"]))}
    runs = [
        run(arm, sparsity, seed)
        for seed in seeds
        for sparsity in dict.fromkeys([*(own for chosen in arms.values() for own in chosen), *sparsities])
        for arm, chosen in arms.items()
        if sparsity in chosen
    ]
    for group, ticket in values.get("tickets", {}).items():
        runs += _tickets(declaration, group, ticket, [run for run in runs if run.ticket is None], options)
    # Seeds outermost here as well; a ticket follows the parents of its seed.
    runs.sort(key=lambda run: seeds.index(run.seed))
    _check_files(declaration, runs)
    return runs


def _tickets(
    declaration: Declaration,
    group: str,
    values: Mapping[str, Any],
    parents: list[PlannedRun],
    options: dict[str, Any],
) -> list[PlannedRun]:
    sparsities, found = values.get("sparsities"), []
    for parent in parents:
        if parent.sparsity == 0 if sparsities is None else parent.sparsity not in sparsities:
            continue
        for arm, own in values["arms"].items():
            draw = {key: value for key, value in own.items() if key in Draw.__annotations__}
            if draw.pop("of", arm) != parent.arm:
                continue
            numbers = {key: value for key, value in own.items() if key not in Draw.__annotations__}
            # Points that were learned stay where they are, so that no evidence moves them.
            changes = {"learn": False, "evidence": "weights"} | values.get("options", {}) | numbers | options
            found.append(
                PlannedRun(
                    task=parent.task,
                    arm=f"{arm}, {group}",
                    sparsity=parent.sparsity,
                    seed=parent.seed,
                    config=_config(declaration, parent.config, changes, f"{arm}, {group}"),
                    records=values.get("records", f"{parent.records}-tickets-{group}"),
                    name=_run_name(arm, parent.sparsity, parent.seed),
                    ticket=Ticket(parent, **draw),
                )
            )
    return found


def _config(declaration: Declaration, base: RunConfig, changes: dict[str, Any], arm: str) -> RunConfig:
    try:
        return base.replace(**changes)
    except (ValueError, TypeError) as error:
        raise SuiteError(f"{declaration.file}: arm {arm!r} at preset {base.preset!r}: {one_line(error)}") from error


def _check_files(declaration: Declaration, runs: list[PlannedRun]) -> None:
    places: dict[tuple[str, str], PlannedRun] = {}
    for run in runs:
        other = places.setdefault((run.records, run.name), run)
        if other is not run:
            must = "must have names that differ in more than spaces and -"
            declaration.fail("arms", must, [other.arm, run.arm])


def _run_name(arm: str, sparsity: float, seed: int) -> str:
    """Return the name of a run's record.

    >>> _run_name("torus learned", 0.9, 1)
    'torus-learned-90-seed1'
    """
    return f"{arm.replace(' ', '-')}-{100 * sparsity:g}-seed{seed}"
