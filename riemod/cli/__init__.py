"""The command line, its tables, and the demonstration."""

from riemod.cli.commands import main

__all__ = ["main"]
