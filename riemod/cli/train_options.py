"""The options of `riemod train TASK`: every number of a configuration, with what people need first at the top."""

import dataclasses
import functools
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Any, Literal, get_type_hints

import docstring_parser
import tyro

from riemod.tasks import RunConfig, Task
from riemod.tasks.config.fields import FlatField, flat_fields, groups_of

_FIRST = ("preset", "data", "manifold", "learn", "strength", "sparsity", "epochs", "seed", "device", "threads")
_TITLES = {"masks": "pruning", "optimization": "optimizer", "computation": "machine"}
_PRESET = "Sizes and schedule that all other defaults are taken from; `riemod presets` says what each is."
_REPLICAS = (
    "Number of runs to train side by side, with seeds `seed`, `seed` + 1, ...; each gets its own folder seedK in "
    "`out`. Only the adding task can have more than 1."
)


def options_type(task: type[Task[Any]], preset: RunConfig) -> type:
    """Return a dataclass of the options of `riemod train TASK`, for tyro.

    Its method `numbers` returns the numbers of the configuration by name. It opens with where the run goes and what
    people set most; the others stand in one group for each group of the configuration.

    Args:
        task: whose presets can be asked for.
        preset: its numbers are the defaults.
    """
    fields, values = flat_fields(type(preset)), preset.to_dict()
    preset_names = Literal[tuple(task.presets)]  # pyright: ignore[reportGeneralTypeIssues, reportInvalidTypeForm]

    def option(name: str) -> tuple[str, Any, Any]:
        if name == "preset":
            return name, _described(preset_names, _PRESET), dataclasses.field(default=values[name])
        group = fields[name].group
        owner = type(preset) if group is None else groups_of(type(preset))[group]
        described = _described(get_type_hints(owner)[name], _help(owner, name))
        return name, described, dataclasses.field(default=values[name])

    first = [name for name in _FIRST if name in fields]
    groups = _rest(fields, first)
    members = [
        ("out", _described(Path, "New folder for the run.")),
        *(option(name) for name in first),
        ("replicas", _described(int, _REPLICAS), dataclasses.field(default=1)),
        ("quiet", _described(bool, "Print errors only."), dataclasses.field(default=False)),
        ("json", _described(bool, "Print the record as JSON in place of the table."), dataclasses.field(default=False)),
    ]
    for title, names in groups.items():
        members.append((title, *_group(title, [option(name) for name in names])))

    def numbers(options: Any) -> dict[str, Any]:
        places = dict.fromkeys(first, options)
        places |= {name: getattr(options, title) for title, names in groups.items() for name in names}
        return {name: getattr(places[name], name) for name in values}

    return dataclasses.make_dataclass("TrainOptions", members, namespace={"numbers": numbers}, frozen=True)


def _rest(fields: dict[str, FlatField], first: Iterable[str]) -> dict[str, list[str]]:
    """Return the names that are not among the first, by the title of their group; the task's own come first."""
    groups: dict[str, list[str]] = {"task": []}
    for name in (name for name in fields if name not in first):
        group = fields[name].group
        groups.setdefault("task" if group is None else _TITLES.get(group, group), []).append(name)
    return groups


def _group(title: str, members: list[tuple[str, Any, Any]]) -> tuple[Any, Any]:
    kind = dataclasses.make_dataclass(f"{title.capitalize()}Options", members, frozen=True)
    kind.__doc__ = ""  # dataclasses writes the signature there, which help would show.
    return tyro.conf.OmitArgPrefixes[kind], dataclasses.field(default_factory=kind)


def _described(kind: Any, text: str) -> Any:
    return Annotated[kind, tyro.conf.arg(help=text)]


def _help(owner: type, name: str) -> str:
    """Return what the docstring below a field of a dataclass, or of one of its bases, says."""
    return next((_docs(kind)[name] for kind in owner.__mro__[:-1] if name in _docs(kind)), "")


@functools.cache
def _docs(kind: type) -> dict[str, str]:
    entries = docstring_parser.parse_from_object(kind).params
    return {entry.arg_name: " ".join(entry.description.split()) for entry in entries if entry.description}
