"""Statistics that several rooms share."""

from typing import Any

import numpy as np

from riemod._arrays import as_array


def rank_p_value(observed: Any, drawn: Any) -> Any:
    """Return the Monte Carlo p-value (1 + b) / (1 + m), b of m drawn values being at least the observed one.

    A draw counts if it falls short by no more than rounding (1e-12, relative): one that repeats the data must count.

    Args:
        observed: the statistic of the data, a number or (...) numbers.
        drawn: (m,) or (m, ...), the statistic of each draw.

    Returns:
        p in (0, 1], a float or (...) floats.

    Raises:
        TypeError: an argument is no array of numbers.
        ValueError: the shapes do not fit.

    Reference: Phipson and Smyth, https://doi.org/10.2202/1544-6115.1585

    >>> rank_p_value(2.0, [0.0, 1.0, 3.0])
    0.5
    """
    found, values = as_array(observed, "observed"), as_array(drawn, "drawn")
    if values.ndim < 1 or values.shape[1:] != found.shape:
        raise ValueError(f"drawn must have the shape (m, *{found.shape}) of m draws, got {values.shape}")
    reached = (values >= found - 1e-12 * np.maximum(1.0, np.abs(found))).sum(axis=0)
    p = (1 + reached) / (1 + len(values))
    return float(p) if np.ndim(p) == 0 else p
