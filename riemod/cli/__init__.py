"""The command line, its tables, and the demo."""

from riemod.cli.commands import main

__all__ = ["main"]
