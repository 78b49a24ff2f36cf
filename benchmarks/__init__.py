"""Suites on the tasks; `records/` holds their results."""
