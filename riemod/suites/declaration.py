"""Reading of declarations: a suite is a TOML file, and everything in it is checked when it is read."""

import importlib.resources
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Annotated, Any, Literal, NoReturn, NotRequired, Required, TypedDict

from riemod._untrusted import Amount, Count, DamagedFile, Range, Share, check_shape, one_line
from riemod.suites.errors import SuiteError
from riemod.tasks import TASKS
from riemod.tasks.base import Task
from riemod.tasks.config.fields import flat_fields

_LARGEST_FILE = 2**20
_Options = dict[str, Any]
_Positive = Annotated[int, Range(1)]


class _Loss(TypedDict):
    metric: str
    above: float
    of: NotRequired[str]


class _Tickets(TypedDict, total=False):
    arms: Required[dict[str, _Options]]
    sparsities: list[Share]
    options: _Options
    records: str


class _Preset(TypedDict, total=False):
    options: _Options
    arms: list[str]
    sparsities: list[Share]
    seeds: list[Count]
    replicas: _Positive
    records: str


class _Declaration(TypedDict, total=False):
    title: Required[str]
    task: Required[str]
    tables: list[_Positive]
    protocol: Literal["matched", "published"]
    control: Required[str]
    metrics: Required[list[str]]
    lost: Required[list[_Loss]]
    replicas: _Positive
    options: _Options
    sparsities: list[Share]
    seeds: list[Count]
    arms: Required[dict[str, _Options]]
    tickets: dict[str, _Tickets]
    presets: Required[dict[str, _Preset]]


class Draw(TypedDict, total=False):
    """Lists what a ticket's arm may say besides numbers of its run."""

    of: str
    mask: Literal["kept", "permuted"]
    embedding: Literal["kept", "new"]
    spectral_radius: Amount


class Arm(TypedDict, total=False):
    """Lists what an arm may say besides numbers of its runs."""

    sparsities: list[Share]


# The numbers of a run that the suite itself sets.
_SET_BY_SUITE = ("preset", "seed", "sparsity")


@dataclass(frozen=True)
class Declaration:
    """Holds what a file declares, checked.

    Args:
        name: of the suite.
        file: that was read.
        values: as TOML has them.
    """

    name: str
    file: Traversable
    values: dict[str, Any]

    def __post_init__(self) -> None:
        """Check the values."""
        self._check()

    @property
    def task(self) -> type[Task[Any]]:
        """The task of its runs."""
        return TASKS[self.values["task"]]

    def fail(self, key: str, must: str, got: Any) -> NoReturn:
        """Raise a SuiteError that names the file."""
        raise SuiteError(f"{self.file}: {key} {must}, got {one_line(repr(got))}")

    def list_of(self, key: str, preset: str) -> list[Any]:
        """Return sparsities or seeds, of the preset or else of all presets.

        Raises:
            SuiteError: if neither names any.
        """
        own = self.values["presets"][preset]
        found = own.get(key, self.values.get(key))
        if found is None:
            raise SuiteError(f"{self.file}: {key} must be given for all presets or in presets.{preset}, got none")
        if not found:
            self.fail(f"presets.{preset}.{key}" if key in own else key, "must have at least one number", found)
        return list(dict.fromkeys(found))

    def _check(self) -> None:
        """Check shapes and names, preset by preset and arm by arm, also of those that this suite will not run."""
        values = self.values
        _check_keys(self.file, "", values, _Declaration)
        try:
            check_shape(values, _Declaration)
        except DamagedFile as error:
            raise SuiteError(f"{self.file}: {str(error).removeprefix('it ')}") from error
        check_name(f"{self.file}: task", values["task"], TASKS)
        task, arms = TASKS[values["task"]], values["arms"]
        numbers = [name for name in flat_fields(type(next(iter(task.presets.values())))) if name not in _SET_BY_SUITE]
        for key in ("arms", "presets", "metrics", "lost"):
            if not values[key]:
                self.fail(key, "must not be empty", values[key])
        check_name(f"{self.file}: control", values["control"], arms)
        for index, loss in enumerate(values["lost"]):
            _check_keys(self.file, f"lost[{index}]", loss, _Loss)
            check_name(f"{self.file}: lost[{index}].metric", loss["metric"], task.units)
        for metric in values["metrics"]:
            check_name(f"{self.file}: metrics", metric, task.units)
        self._check_options("options", values.get("options", {}), numbers)
        for arm, options in arms.items():
            self._check_options(f"arms.{arm!r}", options, [*numbers, *Arm.__annotations__])
            try:
                check_shape({key: value for key, value in options.items() if key in Arm.__annotations__}, Arm)
            except DamagedFile as error:
                raise SuiteError(f"{self.file}: arms.{arm!r}: {error}") from error
            if "sparsities" in options and not options["sparsities"]:
                self.fail(f"arms.{arm!r}.sparsities", "must have at least one number", options["sparsities"])
        for preset, own in values["presets"].items():
            check_name(f"{self.file}: presets", preset, task.presets)
            _check_keys(self.file, f"presets.{preset}", own, _Preset)
            self._check_options(f"presets.{preset}.options", own.get("options", {}), numbers)
            for arm in own.get("arms", ()):
                check_name(f"{self.file}: presets.{preset}.arms", arm, arms)
        for group, own in values.get("tickets", {}).items():
            self._check_tickets(group, own, numbers)

    def _check_tickets(self, group: str, own: Mapping[str, Any], numbers: list[str]) -> None:
        where = f"tickets.{group}"
        _check_keys(self.file, where, own, _Tickets)
        self._check_options(f"{where}.options", own.get("options", {}), numbers)
        for arm, options in own["arms"].items():
            self._check_options(f"{where}.arms.{arm!r}", options, [*numbers, *Draw.__annotations__])
            try:
                check_shape({key: value for key, value in options.items() if key in Draw.__annotations__}, Draw)
            except DamagedFile as error:
                raise SuiteError(f"{self.file}: {where}.arms.{arm!r}: {error}") from error
            check_name(f"{self.file}: {where}.arms.{arm!r}.of", options.get("of", arm), self.values["arms"])

    def _check_options(self, where: str, options: Mapping[str, Any], known: list[str]) -> None:
        for key in options:
            if key in _SET_BY_SUITE:
                raise SuiteError(f"{self.file}: {where} must not set {key!r}, for the suite does")
            if key not in known:
                raise SuiteError(
                    f"{self.file}: {where} must have options of `riemod train {self.values['task']}`, got "
                    f"{one_line(key)!r}{_nearest(key, known)}"
                )


def suite_names() -> list[str]:
    """Return the names of the suites that riemod brings."""
    return sorted(file.name.removesuffix(".toml") for file in _folder().iterdir() if file.name.endswith(".toml"))


def read_declaration(suite: str | Path) -> Declaration:
    """Read a declaration and check everything in it.

    Args:
        suite: name of a suite that riemod brings, or the path of a TOML file.

    Raises:
        SuiteError: for an unknown suite, a file that is no TOML, or a declaration that no suite can have. The message
            names the file, the key and what is allowed.
    """
    file = _find(suite)
    try:
        content = file.read_bytes()
        if len(content) > _LARGEST_FILE:
            raise DamagedFile(f"it must have at most {_LARGEST_FILE:,} bytes, got {len(content):,}")
        values = tomllib.loads(content.decode())
    except (OSError, UnicodeError, tomllib.TOMLDecodeError, DamagedFile, RecursionError) as error:
        raise SuiteError(f"{file} is no declaration of a suite: {one_line(error)}") from error
    return Declaration(file.name.removesuffix(".toml"), file, values)


def _check_keys(file: Traversable, where: str, values: Mapping[str, Any], shape: Any) -> None:
    known = list(shape.__annotations__)
    for key in values:
        if key not in known:
            place = f"{where} must have" if where else "keys must be"
            raise SuiteError(f"{file}: {place} {listed(known)}, got {one_line(key)!r}{_nearest(key, known)}")


def check_name(what: str, name: str, known: Iterable[str]) -> None:
    """Raise a SuiteError that names the nearest known name unless the name is known."""
    names = list(known)
    if name not in names:
        raise SuiteError(f"{what} must be {listed(names)}, got {one_line(repr(name))}{_nearest(name, names)}")


def listed(names: Iterable[str]) -> str:
    """Return names for a message, as "'a', 'b' or 'c'"."""
    *others, last = map(repr, names)
    return f"{', '.join(others)} or {last}" if others else last


def _nearest(name: str, known: Iterable[str]) -> str:
    near = get_close_matches(name, list(known), n=1)
    return f": did you mean {near[0]!r}?" if near else ""


def _folder() -> Traversable:
    """Return the folder of the declarations: in the package, or, in a checkout, beside the benchmarks."""
    packed = importlib.resources.files("riemod.suites") / "declarations"
    return packed if packed.is_dir() else Path(__file__).parents[2] / "benchmarks" / "suites"


def _find(suite: str | Path) -> Traversable:
    text = str(suite)
    if text.endswith(".toml"):
        path = Path(suite)
        if not path.is_file():
            raise SuiteError(f"suite must be a name or the path of a TOML file, got {one_line(text)}: no such file")
        return path
    check_name("suite", text, suite_names())
    return _folder() / f"{text}.toml"
