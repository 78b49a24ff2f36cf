"""What the arguments of a call hold, to tell whether a refused call has changed them."""

import copy
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from riemod.pruning import MagnitudePruner


def snapshot(value: Any) -> Any:
    """Return a copy of the numbers that a value holds: of tensors, arrays, modules, optimizers and collections."""
    if isinstance(value, Tensor):
        return value.detach().clone() if value.layout == torch.strided and not value.is_meta else None
    if isinstance(value, np.ndarray):
        return value.copy()
    if isinstance(value, nn.Module):
        return {name: snapshot(tensor) for name, tensor in (*value.named_parameters(), *value.named_buffers())}
    if isinstance(value, MagnitudePruner):
        return snapshot(value.model)
    if isinstance(value, torch.optim.Optimizer):
        return snapshot(copy.deepcopy(value.state_dict()))
    if isinstance(value, Mapping):
        return {key: snapshot(entry) for key, entry in value.items()}
    if isinstance(value, list | tuple):
        return [snapshot(entry) for entry in value]
    return None


def differs(before: Any, after: Any) -> bool:
    """Tell whether two snapshots of one value differ; NaN is the same as NaN."""
    if isinstance(before, Tensor) and isinstance(after, Tensor):
        return (
            before.shape != after.shape
            or not torch.equal(before.isnan(), after.isnan())
            or not torch.equal(before.nan_to_num(), after.nan_to_num())
        )
    if isinstance(before, np.ndarray) and isinstance(after, np.ndarray):
        return before.dtype != after.dtype or before.tobytes() != after.tobytes()
    if isinstance(before, dict) and isinstance(after, dict):
        return before.keys() != after.keys() or any(differs(before[key], after[key]) for key in before)
    if isinstance(before, list) and isinstance(after, list):
        return len(before) != len(after) or any(map(differs, before, after))
    return type(before) is not type(after)
