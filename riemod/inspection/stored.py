"""What an analysis of a run keeps beside its record, for pages that show it again: bars, nulls, states, rate maps."""

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, NotRequired, TypedDict

import numpy as np
import torch
from safetensors.torch import save
from torch import Tensor

from riemod._files import write_atomically
from riemod._tensor_files import read_tensors
from riemod._untrusted import Amount, Count, DamagedFile, Range, Share, check_shape, one_line, parse_json, read_bytes
from riemod.inspection.coordinates import Coordinates
from riemod.inspection.navigation import Tuning
from riemod.inspection.output import RECORD
from riemod.inspection.states import Sample
from riemod.topology import ModuliRecovery
from riemod.training import RunError
from riemod.training.reading import RECORD_FILE, sha256_of

__all__ = ["ARRAYS", "Arrays", "Stored", "arrays_of", "read_analysis", "write_arrays"]

ARRAYS = "arrays.safetensors"
_MOST_BARS, _MOST_STATES = 30, 1500

_Degrees = dict[str, Annotated[float, Range(0)]]


class _Verdict(TypedDict):
    manifold: str
    reason: str
    p_values: dict[str, Share]
    longest: _Degrees
    floors: _Degrees
    nulls: dict[str, Count]


class _Arena(TypedDict):
    name: str
    manifold: str
    verdict: str


class _Silent(TypedDict):
    units: Count
    silent: Count
    informative: Share
    level: Share


class _Test(TypedDict):
    rank_correlation: float
    p_value: Share


_Agreement = TypedDict("_Agreement", {"units": Count, "with": dict[str, _Test], "problem": str | None})


class _Points(TypedDict):
    spread: Amount
    agreement: _Agreement


class _Origin(TypedDict):
    task: str
    config: dict[str, Any]


class _File(TypedDict):
    sha256: str


class _Record(TypedDict):
    run: _Origin
    epochs: Count
    states: Count
    verdict: _Verdict
    arena: NotRequired[_Arena]
    position: NotRequired[dict[str, float]]
    tuning: NotRequired[_Silent]
    points: NotRequired[_Points]
    arrays: NotRequired[_File]


@dataclass(frozen=True)
class Arrays:
    """Holds the arrays of an analysis; what the task or the verdict does not have is None."""

    bars: dict[int, np.ndarray]
    """By degree 1 and 2, (k, 2) births and deaths modulo 2, the longest by death / birth first, at most 30."""
    nulls: dict[int, np.ndarray]
    """By degree, (m,) the longest death / birth of each null data set."""
    states: np.ndarray
    """(n, 3), hidden states along their first three principal components (fewer if there are fewer units)."""
    shares: np.ndarray
    """(3,), the share of the variance along each."""
    angles: np.ndarray | None
    """(n, 1 or 2), rad, recovered circular coordinates of these states."""
    units: np.ndarray | None
    """(u,), the tested units."""
    rates: np.ndarray | None
    """(u, b), their mean activity in each bin of the arena, NaN where the animal never was."""
    places: np.ndarray | None
    """(u, c), where each of them is most active, NaN if its activity does not vary."""
    p_values: np.ndarray | None
    """(u,), of their spatial information."""


@dataclass(frozen=True)
class Stored:
    """Holds an analysis that was read back."""

    record: dict[str, Any]
    arrays: Arrays | None
    problem: str | None
    """Why there are no arrays; None if there are."""


def arrays_of(
    sample: Sample, recovery: ModuliRecovery, coordinates: Coordinates | None, found: Tuning | None
) -> dict[str, Tensor]:
    """Return what is kept of an analysis, by name.

    Args:
        sample: the states.
        recovery: fitted to them.
        coordinates: recovered angles, if any.
        found: tuning of the units, for navigation.
    """
    arrays: dict[str, np.ndarray] = {}
    for degree, drawn in recovery.null_ratios_.items():
        bars = recovery.bars_.diagrams[2][degree]
        ends = bars[np.isfinite(bars).all(axis=1) & (bars[:, 0] > 0)]
        arrays[f"bars_{degree}"] = ends[np.argsort(-ends[:, 1] / ends[:, 0], kind="stable")[:_MOST_BARS]]
        arrays[f"nulls_{degree}"] = np.concatenate(drawn)
    centered = (sample.states - sample.states.mean(0)).double()
    _, values, axes = torch.linalg.svd(centered, full_matrices=False)
    arrays["states"] = (centered[:_MOST_STATES] @ axes[:3].T).numpy()
    arrays["shares"] = (values[:3] ** 2 / values.square().sum()).numpy()
    if coordinates is not None and coordinates.angles is not None:
        arrays["angles"] = coordinates.angles[:_MOST_STATES]
    if found is not None:
        arrays |= {"units": found.chosen, "rates": found.maps.rates, "p_values": found.p_values}
        arrays["places"] = found.places.numpy()[found.chosen]
    # Rounded to float32, a bar may end before it begins, and a place lie off its manifold.
    exact = {"units": np.int64} | {name: np.float64 for name in arrays if name.startswith(("bars", "nulls", "places"))}
    return {
        name: torch.from_numpy(np.ascontiguousarray(array, dtype=exact.get(name, np.float32)))
        for name, array in arrays.items()
    }


def write_arrays(out: Path, arrays: dict[str, Tensor]) -> dict[str, Any]:
    """Write the arrays of an analysis into its folder; return what its record says of the file.

    Args:
        out: the folder.
        arrays: from `arrays_of`.
    """
    content = save(arrays)
    write_atomically(out / ARRAYS, content)
    return {"file": ARRAYS, "sha256": hashlib.sha256(content).hexdigest()}


def read_analysis(folder: Path) -> Stored | None:
    """Read what `riemod analyze` left in the folder of a run's analysis, or return None if it was not analyzed.

    An analysis of an earlier version has no arrays, and one whose file of arrays is missing, or of another analysis,
    counts as such.

    Args:
        folder: the folder `analysis` of a run.

    Raises:
        RunError: if the record is damaged.
    """
    path = folder / RECORD
    if not path.is_file():
        return None
    try:
        record = parse_json(read_bytes(path, RECORD_FILE))
        check_shape(record, _Record)
        for name in ("p_values", "longest", "floors"):
            if record["verdict"][name].keys() != {"1", "2"}:
                raise DamagedFile(f"verdict.{name} must have the keys '1' and '2', got others")
    except DamagedFile as error:
        raise RunError(f"{path} is damaged: {error}") from error
    if "arrays" not in record:
        return Stored(record, None, "the analysis is of an earlier version of riemod")
    try:
        return Stored(record, _read_arrays(folder / ARRAYS, record["arrays"]["sha256"]), None)
    except (DamagedFile, OSError) as error:
        return Stored(record, None, f"{folder / ARRAYS} cannot be used: {error}")


def _read_arrays(path: Path, digest: str) -> Arrays:
    if not path.is_file():
        raise DamagedFile("it is missing")
    if sha256_of(path) != digest:
        raise DamagedFile("it is not of this analysis")
    found = {name: _as_array(name, tensor) for name, tensor in read_tensors(path).items()}
    missing = [name for name in ("bars_1", "bars_2", "nulls_1", "nulls_2", "states", "shares") if name not in found]
    if missing:
        raise DamagedFile(f"it must hold {missing[0]}, got {', '.join(sorted(found)) or 'nothing'}")
    arrays = Arrays(
        {degree: found[f"bars_{degree}"] for degree in (1, 2)},
        {degree: found[f"nulls_{degree}"] for degree in (1, 2)},
        found["states"],
        found["shares"],
        *(found.get(name) for name in ("angles", "units", "rates", "places", "p_values")),
    )
    _check_shapes(arrays)
    return arrays


def _as_array(name: str, tensor: Tensor) -> np.ndarray:
    """Return the tensor as an array; raise a DamagedFile unless its numbers are of the kind that is written."""
    kinds = (torch.int64,) if name == "units" else (torch.float32, torch.float64)
    if tensor.dtype not in kinds:
        raise DamagedFile(f"{one_line(name)} must hold {kinds[0]}, got {tensor.dtype}")
    wrong = tensor.isinf() if name in ("rates", "places") else ~tensor.isfinite()
    if bool(wrong.any()):
        raise DamagedFile(f"{one_line(name)} must be finite, got other numbers")
    return tensor.numpy()


def _check_shapes(arrays: Arrays) -> None:
    """Raise a DamagedFile unless the arrays fit one another."""
    count, axes = arrays.states.shape if arrays.states.ndim == 2 else (-1, -1)
    tested = None if arrays.units is None else len(arrays.units)
    right = (
        all(bars.ndim == 2 and bars.shape[1] == 2 and (bars > 0).all() for bars in arrays.bars.values())
        and all(drawn.ndim == 1 for drawn in arrays.nulls.values())
        and 1 <= axes <= 3
        and arrays.shares.shape == (axes,)
        and (arrays.angles is None or (arrays.angles.ndim == 2 and len(arrays.angles) == count))
    )
    for array, dimensions in ((arrays.units, 1), (arrays.rates, 2), (arrays.places, 2), (arrays.p_values, 1)):
        if tested is None:
            right = right and array is None
        else:
            right = right and array is not None and array.ndim == dimensions and len(array) == tested
    if not right:
        raise DamagedFile("its arrays do not fit one another")
