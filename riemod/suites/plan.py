"""What a suite is once its declaration was read: the runs that it plans, and how their records are read."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal

from riemod.suites.errors import SuiteError
from riemod.suites.keys import identity, key_of
from riemod.suites.published import Protocol
from riemod.tasks import RunConfig

Record = Mapping[str, Any]


@dataclass(frozen=True)
class Ticket:
    """Says of which planned run another one is the lottery ticket, and what it takes from it.

    Args:
        parent: the run whose final mask the ticket keeps.
        mask: the mask as it is, or the entries of each tensor's mask permuted.
        embedding: the parent's points, or points that are drawn anew.
        spectral_radius: of the hidden blocks of the `sparsity_aware` draw; None for its own choice.
    """

    parent: "PlannedRun"
    mask: Literal["kept", "permuted"] = "kept"
    embedding: Literal["kept", "new"] = "kept"
    spectral_radius: float | None = None


@dataclass(frozen=True)
class PlannedRun:
    """Describes one run of a suite.

    Args:
        task: as `riemod train` names it.
        arm: of the suite; that of a ticket ends with the name of its group.
        sparsity: at which the arm is run.
        seed: of the run.
        config: every number of the run.
        records: folder of its record, relative to the folder of a suite's results.
        name: of its record, without an ending.
        ticket: what it is a ticket of; None for a run that starts from a fresh draw.
    """

    task: str
    arm: str
    sparsity: float
    seed: int
    config: RunConfig
    records: str
    name: str
    ticket: Ticket | None = None

    @cached_property
    def key(self) -> str:
        """The run's key, the same for every run that would have the same record."""
        return key_of(self.identity | self._origin)

    @cached_property
    def identity(self) -> dict[str, Any]:
        """The numbers that the run's record depends on, by name."""
        values = identity(self.task, self.config)
        if self.ticket is not None:
            values.pop("sparsity", None)  # A ticket keeps its parent's mask, whatever the configuration says.
        return values

    @property
    def steps(self) -> int:
        """The number of training steps."""
        return self.config.training.steps

    def check_record(self, record: Record, config: RunConfig) -> str | None:
        """Return what of a record is not of this run; None if it is this run's record.

        Args:
            record: of a finished run, whose keys were checked.
            config: of that run, as this version reads it.
        """
        ticket_of = record["ticket_of"]
        if record["task"] != self.task:
            return f"task={record['task']!r} in place of {self.task!r}"
        if (ticket_of is not None) != (self.ticket is not None):
            return "a lottery ticket" if self.ticket is None else "no lottery ticket"
        if self.ticket is not None:
            parent = self.ticket.parent
            if str(ticket_of).rpartition("/")[2] not in (parent.key, parent.name):
                return f"a ticket of {ticket_of!r} in place of {parent.name!r}"
        other = identity(self.task, config)
        if self.ticket is not None:
            other.pop("sparsity", None)
        for name in {**self.identity, **other}:
            if self.identity.get(name) != other.get(name):
                own, found = self.config.to_dict()[name], config.to_dict()[name]
                return f"{name}={found!r} in place of {own!r}"
        return None

    @property
    def _origin(self) -> dict[str, Any]:
        if self.ticket is None:
            return {}
        ticket = self.ticket
        return {
            "ticket": {
                "of": ticket.parent.key,
                "mask": ticket.mask,
                "embedding": ticket.embedding,
                "spectral_radius": ticket.spectral_radius,
            }
        }


@dataclass(frozen=True)
class Loss:
    """Says when a run learned nothing of use: its metric is above a number, or above that many times a level.

    Args:
        metric: of the task.
        above: the number.
        of: a level of the record, such as "rmse of always answering 1"; None for the number itself.
    """

    metric: str
    above: float
    of: str | None = None

    def holds(self, record: Record) -> bool:
        """Return whether the record is of a run that is lost by this."""
        level = 1.0 if self.of is None else record["levels"][self.of]["value"]
        return record["metrics"][self.metric]["value"] > self.above * level


@dataclass(frozen=True)
class Suite:
    """Holds a suite at one preset: what its declaration says, and every run that it plans.

    Args:
        name: of the declaration.
        preset: of the task that its runs start from.
        title: one line.
        task: as `riemod train` names it.
        tables: of the paper, by number, that it reproduces.
        protocol: whether the arms are matched, or have the constants of the paper's own code.
        control: the arm that the others are compared with.
        metrics: of the task that its table shows.
        losses: a run is lost if one of them holds.
        replicas: how many small runs train side by side in one process at most.
        runs: in the order in which they start; seeds outermost, so that a part of the suite is balanced.
    """

    name: str
    preset: str
    title: str
    task: str
    tables: tuple[int, ...]
    protocol: Protocol
    control: str
    metrics: tuple[str, ...]
    losses: tuple[Loss, ...]
    replicas: int
    runs: tuple[PlannedRun, ...]

    @property
    def arms(self) -> tuple[str, ...]:
        """The names of the arms, tickets last, in the order of the declaration."""
        return tuple(dict.fromkeys(run.arm for run in sorted(self.runs, key=lambda run: run.ticket is not None)))

    def is_lost(self, record: Record) -> bool:
        """Return whether a record is of a run that learned nothing of use, as the declaration says.

        Raises:
            SuiteError: if the record lacks a metric or a level that decides this.
        """
        try:
            return any(loss.holds(record) for loss in self.losses)
        except KeyError as error:
            raise SuiteError(f"suite {self.name!r} needs {error} in every record, got one without") from error
