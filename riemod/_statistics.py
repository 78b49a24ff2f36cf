"""Statistics that several rooms share."""

from typing import Any

import numpy as np


def rank_p_value(observed: Any, drawn: Any) -> Any:
    """Return the Monte Carlo p-value (1 + b) / (1 + m), b of m drawn values being at least the observed one.

    A draw counts if it falls short by no more than rounding (1e-12, relative): one that repeats the data must count.

    Args:
        observed: the statistic of the data, a number or (...) numbers.
        drawn: (m,) or (m, ...), the statistic of each draw.

    Returns:
        p in (0, 1], a float or (...) floats.

    Reference: Phipson and Smyth, https://doi.org/10.2202/1544-6115.1585

    >>> rank_p_value(2.0, [0.0, 1.0, 3.0])
    0.5
    """
    found, values = np.asarray(observed, dtype=float), np.asarray(drawn, dtype=float)
    reached = (values >= found - 1e-12 * np.maximum(1.0, np.abs(found))).sum(axis=0)
    p = (1 + reached) / (1 + len(values))
    return float(p) if np.ndim(p) == 0 else p
