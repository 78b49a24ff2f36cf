"""The command `riemod show`: a finished run's record, an unfinished run's last epochs, or a folder of replicas."""

from pathlib import Path

from riemod.cli.arguments import RunPath
from riemod.cli.console import open_console, print_json
from riemod.cli.replica_tables import replicas_record, replicas_table
from riemod.cli.tables import progress_table, record_table
from riemod.training import RunError, RunFolder


def show(run: RunPath, json: bool = False) -> None:
    """Print a finished run's record, the last epochs of an unfinished run, or mean and spread of a folder of replicas.

    Args:
        run: Folder of the run, or a folder of the runs seed0, seed1, ... that `riemod train --replicas` made.
        json: Print the record as JSON in place of the table; of an unfinished run, its configuration and epochs.

    Examples:
        riemod show runs/a
        riemod show runs/five
        riemod show runs/a --json
    """
    folder, replicas = RunFolder(run), replica_folders(run)
    console = open_console()
    if replicas:
        records = {member.path.name: member.read_record() for member in replicas if member.record_file.is_file()}
        unfinished = [str(member.path) for member in replicas if not member.record_file.is_file()]
        if not records:
            raise RunError(f"no run in {run} is finished: riemod resume {' '.join(unfinished)}")
        if json:
            print_json(replicas_record(records) | {"unfinished": unfinished})
        else:
            console.print(replicas_table(str(run), records, unfinished))
    elif folder.record_file.is_file():
        record = folder.read_record()
        print_json(record) if json else console.print(record_table(str(run), record))
    else:
        description, rows = folder.read_description(), folder.read_metrics()
        if json:
            print_json(description.to_dict() | {"epochs": rows})
        else:
            console.print(progress_table(str(run), description, rows))


def replica_folders(path: Path) -> list[RunFolder]:
    """Return the runs seed0, seed1, ... in a folder that is no run itself, by seed."""
    if (path / "config.json").is_file() or not path.is_dir():
        return []
    found = {int(member.name[4:]): member for member in path.glob("seed*") if member.name[4:].isdecimal()}
    folders = [RunFolder(found[seed]) for seed in sorted(found)]
    return [folder for folder in folders if folder.config_file.is_file()]
