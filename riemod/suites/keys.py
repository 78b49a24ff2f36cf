"""The key of a run: a hash of everything in its configuration that its record depends on."""

import hashlib
import json
from typing import Any

from riemod.tasks import RunConfig
from riemod.tasks.config.fields import flat_fields

_DIGITS = 16
# Whole numbers of this size are the same as floats.
_EXACT = 2**53


def identity(task: str, config: RunConfig) -> dict[str, Any]:
    """Return the numbers of a run that its record depends on, by name, without those at their field's default.

    Left out are what may differ between a run and its record (device, threads, the place of the data, the preset's
    name), the penalty of a run without a manifold, and the rate of points that are not learned. A configuration keeps
    its identity when a later version adds a field whose default changes nothing.

    >>> from riemod.tasks import Adding
    >>> first = Adding.presets["smoke"]
    >>> identity("adding", first) == identity("adding", first.replace(threads=1, strength=5.0))
    True
    """
    left_out = config.names_that_may_differ("recorded")
    values: dict[str, Any] = {"task": task}
    for name, (group, field) in flat_fields(type(config)).items():
        is_idle = (group == "regularization" and config.regularization.manifold == "none") or (
            name == "embedding_learning_rate" and not config.regularization.learn
        )
        value = getattr(config if group is None else getattr(config, group), name)
        if name not in left_out and not is_idle and value != field.default:
            values[name] = value
    return values


def key_of(values: dict[str, Any]) -> str:
    """Return the first 16 hexadecimal digits of the SHA-256 of JSON-ready values; 1 and 1.0 are the same.

    >>> key_of({"a": 1, "b": True}) == key_of({"b": True, "a": 1.0})
    True
    """
    text = json.dumps(_plain(values), sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()[:_DIGITS]


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    is_whole = isinstance(value, int) and not isinstance(value, bool)
    return float(value) if is_whole and abs(value) < _EXACT else value
