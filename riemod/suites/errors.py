"""The error of suites."""


class SuiteError(ValueError):
    """Reports a declaration that cannot be run, a folder of another suite, or a cluster that cannot train."""
