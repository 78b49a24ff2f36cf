"""Numbers and units as a page shows them."""

import math

__all__ = ["MISSING", "amount", "count", "duration", "p_value", "percent", "unit_of", "value"]

MISSING = "-"


def amount(number: float | None, unit: str, digits: int = 3) -> str:
    """Return a measured number with its unit; a share is given in percent.

    >>> amount(2.6123, "cm"), amount(0.5757, "fraction"), amount(0.39253, "1", 4), amount(None, "cm")
    ('2.61 cm', '57.57 %', '0.3925', '-')
    """
    if number is None or not math.isfinite(number):
        return MISSING
    if unit == "fraction":
        return percent(number)
    if unit == "s":
        return duration(number)
    return f"{value(number, digits)} {unit_of(unit)}".rstrip()


def value(number: float | None, digits: int = 3) -> str:
    """Return a number with three significant digits, or as many as are given, or all digits before its point.

    >>> value(12.345), value(0.00012345), value(12345.6), value(0.0), value(3.0)
    ('12.3', '0.000123', '12,346', '0', '3')
    """
    if number is None or not math.isfinite(number):
        return MISSING
    if abs(number) >= 1000:
        return f"{number:,.0f}" if abs(number) < 1e15 else f"{number:.3g}"
    return f"{number:.{digits}g}"


def percent(share: float | None) -> str:
    """Return a share in percent.

    >>> percent(0.9), percent(0.90039), percent(0.0), percent(0.99951)
    ('90 %', '90.04 %', '0 %', '99.95 %')
    """
    return MISSING if share is None else f"{100 * share:.4g} %"


def count(number: int) -> str:
    """Return a whole number with commas.

    >>> count(16777216)
    '16,777,216'
    """
    return f"{number:,}"


def duration(seconds: float) -> str:
    """Return a time in the unit that suits it.

    >>> duration(0.00086), duration(15.33), duration(754), duration(7500)
    ('0.86 ms', '15.3 s', '12.6 min', '2.08 h')
    """
    for size, unit in ((3600, "h"), (60, "min"), (1, "s")):
        if seconds >= (size if unit == "s" else 2 * size):
            return f"{seconds / size:,.3g} {unit}"
    return f"{1000 * seconds:.3g} ms"


def p_value(number: float | None) -> str:
    """Return a p-value with two significant digits.

    >>> p_value(0.0333), p_value(1.0)
    ('0.033', '1')
    """
    return MISSING if number is None else f"{number:.2g}"


def unit_of(unit: str) -> str:
    """Return the unit for a reader: a record's "1" stands for a number without one."""
    return "" if unit == "1" else unit
