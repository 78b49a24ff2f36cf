"""Fields of configurations: their types are checked, and their metadata says where they may differ."""

import dataclasses
import sys
import types
import typing
from typing import Any, Literal, NamedTuple

from riemod._checks import check_choice

Where = Literal["replicas", "resumed", "recorded"]
"""Three pairs of runs: replicas that train side by side, a run and the checkpoint that it resumes from, and a run and
a record that makes it needless."""
_KEY = "may_differ"
_SEED = "seed"
_LARGEST = 2**31 - 1
# `float | None` has the one origin, `float | Literal["auto"]` the other.
_UNIONS = (types.UnionType, typing.Union)
_LONGEST = 60


class FlatField(NamedTuple):
    """Holds one number of a run: the group that it stands in (None for the run's own), and its dataclass field."""

    group: str | None
    field: dataclasses.Field[Any]

    @property
    def is_required(self) -> bool:
        """Whether the field has no default."""
        return self.field.default is dataclasses.MISSING and self.field.default_factory is dataclasses.MISSING

    def may_differ(self, where: Where) -> bool:
        """Return whether two runs may differ in the field."""
        return where in self.field.metadata.get(_KEY, ())


def may_differ(*where: Where) -> dict[str, Any]:
    """Return metadata for `dataclasses.field` that says between which runs the field may differ.

    A resumed run may differ from its checkpoint only in what does not change what was trained. Replicas may differ
    only in what changes neither the shapes of their tensors nor the course of their rates. A run may differ from its
    record only in where and how it is computed, and in names.
    """
    return {_KEY: frozenset(where)}


def check_types(config: Any) -> None:
    """Check every field of a dataclass against its annotation.

    A bool is not an int here, and an int is a float. Whole numbers are at most 2^31 - 1 in size, as everything that a
    run counts is; only seeds, of which nothing depends on the size, may be larger.

    Raises:
        ValueError: for a value that its `Literal` does not list, or a number that is too large.
        TypeError: for a value of another type.
    """
    for name, hint in typing.get_type_hints(type(config)).items():
        value, choices = getattr(config, name), typing.get_args(hint)
        if typing.get_origin(hint) is Literal:
            check_choice(name, value, choices)
            continue
        kinds: tuple[Any, ...] = choices if typing.get_origin(hint) in _UNIONS else (hint,)
        words = [word for kind in kinds if typing.get_origin(kind) is Literal for word in typing.get_args(kind)]
        if isinstance(value, str) and words:
            if value not in words:
                numbers = " or ".join(kind.__name__ for kind in kinds if isinstance(kind, type))
                raise ValueError(
                    f"{name} must be {' or '.join(map(repr, words))} or a {numbers}, got {_shortened(value)}"
                )
            continue
        kinds = tuple(kind for kind in kinds if isinstance(kind, type))
        fits = isinstance(value, bool) if bool in kinds else isinstance(value, kinds) and not isinstance(value, bool)
        if not fits and not (float in kinds and type(value) is int):
            named = ["None" if kind is types.NoneType else kind.__name__ for kind in kinds]
            expected = " or ".join([*named, *map(repr, words)])
            raise TypeError(f"{name} must be of type {expected}, got {_shortened(value)}")
        if type(value) is int:
            _check_size(name, value, sys.float_info.max if float in kinds else _LARGEST)


def _check_size(name: str, value: int, most: float) -> None:
    if abs(value) > most and not name.endswith(_SEED):
        raise ValueError(f"{name} must be at most {most:.10g} in size, got {_shortened(value)}")


def _shortened(value: Any) -> str:
    if isinstance(value, int) and abs(value) >= 10**_LONGEST:
        return f"a whole number of {value.bit_length()} bits"
    text = repr(value)
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}..."


def groups_of(config_type: type) -> dict[str, type]:
    """Return the fields of a dataclass that are dataclasses themselves, with their types."""
    hints = typing.get_type_hints(config_type)
    return {
        field.name: hints[field.name]
        for field in dataclasses.fields(config_type)
        if dataclasses.is_dataclass(hints[field.name])
    }


def flat_fields(config_type: type) -> dict[str, FlatField]:
    """Return every number of a configuration by its name, with the numbers of a group in the group's place."""
    groups, found = groups_of(config_type), dict[str, FlatField]()
    for field in dataclasses.fields(config_type):
        if field.name in groups:
            found |= {inner.name: FlatField(field.name, inner) for inner in dataclasses.fields(groups[field.name])}
        else:
            found[field.name] = FlatField(None, field)
    return found
