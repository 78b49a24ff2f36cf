"""The numbers of the paper's tables, read from one TOML file a table, each with what it is worth as a target.

Source: Mackey et al., Geometric sparsification in recurrent neural networks, 2024, Tables 1 to 10 and 15 to 20.
"""

import functools
import importlib.resources
import math
import re
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple, NotRequired, TypedDict

from riemod._checks import check_at_least, check_choice, check_integer, check_items, check_text
from riemod._untrusted import Amount, Count, DamagedFile, Share, check_shape

__all__ = ["Published", "PublishedTable", "published_numbers", "published_table", "table_numbers", "true_perplexity"]

POWER_OF_TWO = "2^(nats per token)"
"""The unit of the paper's perplexities."""
Protocol = Literal["matched", "published"]
"""How the arms of a suite are made: with equal mean coefficients and cheap pairs, or as in the paper's own code."""
_EVERY, _TICKETS = "every cell", "tickets"


class _Row(TypedDict):
    sparsity: Share
    ticket: bool
    strength: NotRequired[Amount]
    means: list[Amount]
    stds: list[Amount]


class _Target(TypedDict):
    fair: bool
    why: str


class _Table(TypedDict):
    title: str
    task: str
    preset: str
    metric: str
    unit: str
    conversion: NotRequired[str]
    runs: NotRequired[Count]
    notes: NotRequired[list[str]]
    arms: list[str]
    rows: list[_Row]
    targets: dict[str, _Target]
    as_published: NotRequired[dict[str, _Target]]
    beside: NotRequired[dict[str, str]]


class Target(NamedTuple):
    """Says whether a number is a fair target, and why in one sentence."""

    fair: bool
    why: str


@dataclass(frozen=True)
class Published:
    """Holds one cell of one table of the paper.

    Args:
        table: number of the table.
        arm: name that riemod's suites give to the column.
        sparsity: fraction of zeros.
        ticket: whether the cell is of lottery tickets ("Lottery") or of the pruned nets ("Sparse").
        strength: of the penalty, in the tables of sensitivity; else None.
        mean: as printed.
        std: as printed, of the same unit.
        unit: of the printed numbers.
        matched: whether the mean is a target for riemod's matched protocol at its preset `paper`, and why.
        as_published: the same for its suites with the constants of the paper's own code.
    """

    table: int
    arm: str
    sparsity: float
    ticket: bool
    strength: float | None
    mean: float
    std: float
    unit: str
    matched: Target
    as_published: Target

    def target(self, protocol: Protocol) -> Target:
        """Return whether the mean is a target for runs of a protocol, and why."""
        return self.matched if protocol == "matched" else self.as_published

    @property
    def value(self) -> float:
        """The mean in the unit of riemod's metric: cm, 1, or the true perplexity.

        Of a perplexity it is the one at the printed mean, which is below the mean of the runs' true perplexities.
        """
        return true_perplexity(self.mean) if self.unit == POWER_OF_TWO else self.mean


@dataclass(frozen=True)
class PublishedTable:
    """Holds one table of the paper.

    Args:
        number: of the table.
        title: what it compares.
        task: riemod's task.
        preset: of that task, which has the paper's scale.
        metric: riemod's metric of the same kind.
        unit: of the printed numbers.
        conversion: the formula from the printed number to riemod's metric; None where they are the same.
        runs: that each cell is a mean of; None where the paper does not say or they differ.
        notes: what else the reader must know.
        cells: row by row.
        beside: riemod's name of an arm by the name of the paper's arm that stands beside it, where they differ.
    """

    number: int
    title: str
    task: str
    preset: str
    metric: str
    unit: str
    conversion: str | None
    runs: int | None
    notes: tuple[str, ...]
    cells: tuple[Published, ...]
    beside: Mapping[str, str]

    def find(self, arm: str, sparsity: float, strength: float | None = None) -> Published | None:
        """Return the cell that stands beside an arm's; None if the table has none.

        Args:
            arm: name of the arm in a suite; of a lottery ticket "ARM, GROUP"; in tables of sensitivity "ARM STRENGTH",
                where the strength is not given by itself.
            sparsity: fraction of zeros.
            strength: of the penalty, in the tables of sensitivity.
        """
        name, _, group = arm.partition(", ")
        if strength is None and all(cell.strength is not None for cell in self.cells):
            name, _, last = name.rpartition(" ")
            strength = float(last) if re.fullmatch(r"\d+(\.\d+)?", last) else None
        name = self.beside.get(name, name)
        for cell in self.cells:
            same = math.isclose(cell.sparsity, sparsity, abs_tol=1e-9) and cell.strength == strength
            if same and (cell.arm, cell.ticket) == (name, bool(group)):
                return cell
        return None


def true_perplexity(published: float) -> float:
    """Convert a perplexity of the paper, 2^(loss in nats), to e^(loss in nats) = published^(1 / ln 2).

    Args:
        published: as printed, >= 1.

    Raises:
        ValueError: it is below 1 or not finite.

    >>> round(true_perplexity(114.56)), round(true_perplexity(40.35))
    (934, 207)
    """
    return check_at_least("published", published, 1) ** (1 / math.log(2))


def table_numbers() -> list[int]:
    """Return the numbers of the paper's tables that riemod brings, in order.

    >>> table_numbers()
    [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 15, 16, 17, 18, 19, 20]
    """
    names = (file.name for file in (importlib.resources.files("riemod.suites") / "paper").iterdir())
    return sorted(int(name[len("table") : -len(".toml")]) for name in names if name.endswith(".toml"))


@functools.lru_cache
def published_table(number: int) -> PublishedTable:
    """Read a table of the paper.

    Args:
        number: of the table.

    Raises:
        ValueError: there is no such table, or the file is damaged.

    >>> published_table(1).find("torus fixed", 0.9).value
    5.69
    """
    if check_integer("number", number, 1) not in table_numbers():
        known = ", ".join(map(str, table_numbers()))
        raise ValueError(f"number must be that of a table of the paper, {known}, got {number}")
    file = importlib.resources.files("riemod.suites") / "paper" / f"table{number:02d}.toml"
    return read_table(number, file.read_text(encoding="utf-8"))


def published_numbers(tables: Iterable[int], metric: str, arm: str, sparsity: float) -> list[Published]:
    """Return the paper's cells beside an arm's cell, from the first of the tables that has one; none twice.

    Args:
        tables: numbers of tables.
        metric: of the cell.
        arm: name of the arm in a suite; of a lottery ticket "ARM, GROUP".
        sparsity: fraction of zeros.

    Returns:
        The cells, which differ between tables where the paper prints two numbers for one arm.
    """
    check_text("metric", metric)
    found: list[Published] = []
    for number in check_items("tables", tables, "a list of numbers"):
        table = published_table(number)
        cell = table.find(arm, sparsity) if table.metric == metric else None
        if cell is not None and all((cell.mean, cell.std) != (other.mean, other.std) for other in found):
            found.append(cell)
    return found


def read_table(number: int, text: str) -> PublishedTable:
    """Read the TOML text of a table, and check it.

    Raises:
        ValueError: the text is no such table. The message names the table and the place.
    """
    try:
        values: dict[str, Any] = tomllib.loads(text)
        check_shape(values, _Table)
        check_choice("unit", values["unit"], ("cm", "1", POWER_OF_TWO))
        if (values["unit"] == POWER_OF_TWO) != ("conversion" in values):
            raise DamagedFile(f"conversion must be given for the unit {POWER_OF_TWO!r} and for no other")
        cells = tuple(cell for row in values["rows"] for cell in _cells(number, values, row))
        if unknown := values.get("beside", {}).keys() & values["arms"]:
            raise DamagedFile(f"beside must name arms that are not in the table, got {sorted(unknown)[0]!r}")
    except ValueError as error:
        raise ValueError(f"table {number} of the paper is damaged: {error}") from error
    return PublishedTable(
        number,
        values["title"],
        values["task"],
        values["preset"],
        values["metric"],
        values["unit"],
        values.get("conversion"),
        values.get("runs"),
        tuple(values.get("notes", ())),
        cells,
        values.get("beside", {}),
    )


def _cells(number: int, values: dict[str, Any], row: _Row) -> Iterable[Published]:
    arms = values["arms"]
    for key in ("means", "stds"):
        if len(row[key]) != len(arms):
            raise DamagedFile(f"{key} must have {len(arms)} numbers, one an arm, got {len(row[key])}")
    for arm, mean, std in zip(arms, row["means"], row["stds"], strict=True):
        yield Published(
            table=number,
            arm=arm,
            sparsity=row["sparsity"],
            ticket=row["ticket"],
            strength=row.get("strength"),
            mean=mean,
            std=std,
            unit=values["unit"],
            matched=_target(values["targets"], arm, row["ticket"]),
            as_published=_target_as_published(values, arm, row["ticket"]),
        )


def _target(targets: Mapping[str, _Target], arm: str, ticket: bool) -> Target:
    name = _EVERY if _EVERY in targets else _TICKETS if ticket else arm
    if name not in targets:
        raise DamagedFile(f"targets must say whether {name!r} is fair")
    return Target(**targets[name])


def _target_as_published(values: dict[str, Any], arm: str, ticket: bool) -> Target:
    """Return the target of an arm with the paper's own constants: that of the matched one where nothing else is said.

    A ticket is like the paper's if its arm is.
    """
    targets = {**values["targets"], **values.get("as_published", {})}
    own = _target(targets, arm, ticket=False)
    return _target(targets, arm, ticket=True) if ticket and own.fair else own
