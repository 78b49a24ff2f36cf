"""Bad values for an argument: those that are wrong anywhere, and those made of a valid value."""

import copy
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

Maker = Callable[[], Any]

ANYWHERE: dict[str, Maker] = {
    "None": lambda: None,
    "'x'": lambda: "x",
    "''": lambda: "",
    "'[/b]'": lambda: "[/b]",
    "b'x'": lambda: b"x",
    "True": lambda: True,
    "0": lambda: 0,
    "3": lambda: 3,
    "-1": lambda: -1,
    "0.0": lambda: 0.0,
    "-0.5": lambda: -0.5,
    "1.5": lambda: 1.5,
    "nan": lambda: float("nan"),
    "inf": lambda: float("inf"),
    "-inf": lambda: float("-inf"),
    "1e300": lambda: 1e300,
    "1e-300": lambda: 1e-300,
    "10**400": lambda: 10**400,
    "-10**400": lambda: -(10**400),
    "2**63": lambda: 2**63,
    "10**12": lambda: 10**12,
    "1j": lambda: 1j,
    "np.float64(nan)": lambda: np.float64("nan"),
    "[]": lambda: [],
    "{}": dict,
    "[None]": lambda: [None],
    "object()": object,
    "int": lambda: int,
    "lambda: None": lambda: lambda: None,
    "iter(())": lambda: iter(()),
    "torch.tensor(nan)": lambda: torch.tensor(float("nan")),
    "torch.empty(0)": lambda: torch.empty(0),
    "torch.ones(2, 3, 4)": lambda: torch.ones(2, 3, 4),
    "np.array(['x'])": lambda: np.array(["x"]),
    "nn.Identity()": nn.Identity,
    "nn.Linear": lambda: nn.Linear,
}


def _with_entry(values: Tensor, entry: float) -> Tensor:
    values = values.detach().clone()
    values.view(-1)[0] = entry
    return values


TENSORS: dict[str, Callable[[Tensor], Any]] = {
    "with a NaN": lambda t: _with_entry(t, float("nan")),
    "with an infinity": lambda t: _with_entry(t, float("inf")),
    "with 1e30": lambda t: _with_entry(t, 1e30),
    "all 0": torch.zeros_like,
    "all equal": torch.ones_like,
    "negative": lambda t: -t - 1,
    "times 1e30": lambda t: t * 1e30,
    "times 1e-30": lambda t: t * 1e-30,
    "without rows": lambda t: t[:0],
    "one row less": lambda t: t[:-1],
    "one row": lambda t: t[:1],
    "without columns": lambda t: t[..., :0],
    "one column less": lambda t: t[..., :-1],
    "transposed": lambda t: t.mT if t.dim() > 1 else t,
    "in one more dimension": lambda t: t.unsqueeze(0),
    "flat": lambda t: t.flatten(),
    "a scalar": lambda t: t.flatten()[0],
    "as int64": lambda t: t.long(),
    "as bool": lambda t: t.bool(),
    "as complex": lambda t: t.to(torch.complex64),
    "as float16": lambda t: t.half(),
    "as float32": lambda t: t.float(),
    "as float64": lambda t: t.double(),
    "as a list": lambda t: t.tolist(),
    "as an array": lambda t: t.numpy(),
    "on meta": lambda t: t.to("meta"),
    "sparse": lambda t: t.to_sparse(),
    "with a gradient": lambda t: t.clone().requires_grad_(),
}
INTEGERS: dict[str, Callable[[Tensor], Any]] = {
    "with -1": lambda t: _with_entry(t, -1),
    "with 10**12": lambda t: _with_entry(t, 10**12),
    "doubled entries": lambda t: torch.cat([t[:1], t[:-1]]),
}


def _spoiled(module: nn.Module, entry: float) -> nn.Module:
    module = copy.deepcopy(module)
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.view(-1)[0] = entry
    return module


MODULES: dict[str, Callable[[nn.Module], Any]] = {
    "an empty Sequential": lambda _: nn.Sequential(),
    "with NaN weights": lambda m: _spoiled(m, float("nan")),
    "with infinite weights": lambda m: _spoiled(m, float("inf")),
    "on meta": lambda m: copy.deepcopy(m).to("meta"),
    "in float64": lambda m: copy.deepcopy(m).double(),
    "in bfloat16": lambda m: copy.deepcopy(m).bfloat16(),
    "frozen": lambda m: copy.deepcopy(m).requires_grad_(False),
    "a Linear(0, 0)": lambda _: nn.Linear(0, 3, bias=False),
    "a lone BatchNorm": lambda _: nn.BatchNorm1d(3),
}


def variants(valid: Any) -> Iterator[tuple[str, Maker]]:
    """Yield labels and makers of values that are bad in a way that depends on the valid one."""
    if isinstance(valid, Tensor):
        changes = TENSORS if valid.is_floating_point() else TENSORS | INTEGERS
        if valid.dtype == torch.bool or not valid.is_floating_point():
            changes = {
                label: change for label, change in changes.items() if "1e" not in label and "a gradient" not in label
            }
        for label, change in changes.items():
            yield label, lambda change=change: change(valid)
    elif isinstance(valid, np.ndarray):
        for label, change in TENSORS.items():
            if label not in ("on meta", "sparse", "as an array", "with a gradient"):
                yield label, lambda change=change: _as_array(change(torch.from_numpy(valid.copy())))
    elif isinstance(valid, nn.Module):
        for label, change in MODULES.items():
            yield label, lambda change=change: change(valid)
    elif isinstance(valid, Mapping):
        key = next(iter(valid), "key")
        for label, value in {"{'x': None}": {"x": None}, "a key less": {}, "an unknown key": {**valid, "x": 3}}.items():
            yield label, lambda value=value: value
        for value in (None, "x", 3, float("nan"), -1):
            yield f"its first value {value!r}", lambda value=value: {**valid, key: value}
    elif isinstance(valid, Sequence) and not isinstance(valid, str | bytes):
        for value in (None, "x", 3, -1, float("nan"), float("inf"), 10**400):
            yield f"its first entry {value!r}", lambda value=value: type(valid)([value, *valid[1:]])
        yield "one entry less", lambda: valid[:-1]
        yield "one entry more", lambda: type(valid)([*valid, *valid[:1]])
        yield "as a generator", lambda: (entry for entry in valid)
    elif isinstance(valid, torch.Generator):
        yield "torch.Generator", lambda: torch.Generator
        yield "np's generator", lambda: np.random.default_rng(0)
    elif isinstance(valid, bool | None):
        return
    elif isinstance(valid, int | float):
        yield "as a string", lambda: str(valid)
        yield "as a tensor", lambda: torch.tensor(valid)
        yield "as a list", lambda: [valid]


def _as_array(value: Any) -> Any:
    return value.detach().numpy() if isinstance(value, Tensor) else value
