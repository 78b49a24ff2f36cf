"""Suites: many runs of one task, declared as data, trained by one command, and read back as rows."""

from riemod.suites.declaration import suite_names
from riemod.suites.errors import SuiteError
from riemod.suites.plan import Loss, PlannedRun, Suite, Ticket
from riemod.suites.planning import load_suite
from riemod.suites.rows import Row, cells

__all__ = [
    "Loss",
    "PlannedRun",
    "Row",
    "Suite",
    "SuiteError",
    "Ticket",
    "cells",
    "load_suite",
    "suite_names",
]
