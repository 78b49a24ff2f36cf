"""TensorBoard event files of a run's metrics, in the folder `tensorboard` of the run."""

from collections.abc import Callable
from contextlib import ExitStack

from riemod.training.errors import RunError
from riemod.training.run import Run

EpochLog = Callable[[dict[str, float]], None]


def epoch_log(run: Run, stack: ExitStack) -> EpochLog:
    """Return a function that writes a row of metrics as scalars, with one tag for each metric, by epoch.

    It writes nothing if the config does not ask for TensorBoard. Scalars of the run's present epoch and later ones,
    which a killed process may have left, are purged.

    Args:
        run: its config's `tensorboard` decides.
        stack: closes the files.

    Raises:
        RunError: if TensorBoard is asked for and not installed.
    """
    if not run.config.computation.tensorboard:
        return lambda row: None
    try:
        # An optional package, and slow to import.
        from torch.utils.tensorboard import SummaryWriter
    except ImportError as error:
        raise RunError("tensorboard=True needs the package tensorboard: pip install 'riemod[tensorboard]'") from error
    writer = SummaryWriter(str(run.folder.path / "tensorboard"), purge_step=run.epoch)
    stack.callback(writer.close)

    def write(row: dict[str, float]) -> None:
        for name, value in row.items():
            if name != "epoch":
                writer.add_scalar(name, value, int(row["epoch"]))
        writer.flush()

    return write
