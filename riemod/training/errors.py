"""The error of a run's folder."""


class RunError(RuntimeError):
    """Reports a run folder that is missing, incomplete, taken, damaged, or trained by another process."""
