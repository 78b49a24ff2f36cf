"""Averages of models over steps of training, with masks and points on a manifold that cannot be averaged."""

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import Module
from torch.optim.swa_utils import AveragedModel

from riemod._checks import check_function, check_module
from riemod.masks.buffers import fill_pruned, find_mask, mask_name, masked_parameters, owner_of, register_mask

__all__ = ["masked_average", "sync_average"]

Average = Callable[[Tensor, Tensor, Tensor | int], Tensor]


def masked_average(average: Average | None = None) -> Average:
    """Return an averaging function for `AveragedModel(use_buffers=True)` that takes bool tensors over as they are.

    torch cannot average masks: it raises an error about bool tensors, or makes the masks True everywhere (exponential
    averages). A weight that is exactly 0 in the model becomes 0 in the average, so that pruned weights stay pruned.
    Learned points need `sync_average` as well.

    Args:
        average: (averaged, current, number of models averaged so far) -> averaged, as from
            `torch.optim.swa_utils.get_ema_avg_fn`; by default the mean of all models.

    >>> from torch.optim.swa_utils import get_ema_avg_fn
    >>> average = masked_average(get_ema_avg_fn(0.5))
    >>> average(torch.tensor([2.0, 2.0]), torch.tensor([4.0, 0.0]), 1)
    tensor([3., 0.])
    >>> average(torch.tensor([True, True]), torch.tensor([True, False]), 1)
    tensor([ True, False])
    """
    return _MaskedAverage(_mean if average is None else check_function("average", average))


@torch.no_grad()
def sync_average(averaged: Module, model: Module) -> None:
    """Give an averaged copy of a model the model's masks and points, and set its pruned weights to 0.

    Call it after the last update of the average, before the average is evaluated, saved or trained. It mends what an
    average of all numbers breaks: weights that were averaged from before they were pruned, masks that were averaged,
    and points on a manifold, whose mean lies beside it. Points (and learned curvature) are those of the model, not
    averages.

    Args:
        averaged: an `AveragedModel`, or a module like `model`; changed in place.
        model: the model that was trained; it may have masks and points, or none.

    Raises:
        ValueError: `averaged` does not have the parameters of `model`.

    >>> from torch.optim.swa_utils import AveragedModel
    >>> from riemod.masks import apply_masks
    >>> layer = torch.nn.Linear(2, 1)
    >>> averaged = AveragedModel(layer)
    >>> averaged.update_parameters(layer)
    >>> apply_masks(layer, {"weight": torch.tensor([[True, False]])})
    >>> sync_average(averaged, layer)
    >>> (averaged.module.weight == 0).tolist()
    [[False, True]]
    """
    check_module("averaged", averaged)
    check_module("model", model)
    copy = averaged.module if isinstance(averaged, AveragedModel) else averaged
    theirs, own = dict(model.named_parameters()), dict(copy.named_parameters())
    shapes, got = ({name: tuple(value.shape) for name, value in found.items()} for found in (theirs, own))
    if shapes != got:
        other = sorted(name for name in shapes.keys() | got.keys() if shapes.get(name) != got.get(name))
        raise ValueError(f"averaged must have the parameters of model, got others at {', '.join(other)}")
    for name, _, mask in masked_parameters(model):
        owner, attribute = owner_of(copy, name)
        if find_mask(owner, attribute) is None and mask_name(attribute) in dict(owner.named_buffers(recurse=False)):
            # Averaging has made it another type.
            delattr(owner, mask_name(attribute))
        register_mask(owner, attribute).copy_(mask)
    for _, parameter, mask in masked_parameters(copy):
        fill_pruned(parameter, mask)
    for name in _on_manifolds(model):
        own[name].copy_(theirs[name])


def _mean(averaged: Tensor, current: Tensor, count: Tensor | int) -> Tensor:
    """Return the mean of all models so far, as torch's `get_swa_avg_fn` does, whose function cannot be pickled."""
    return averaged + (current - averaged) / (count + 1)


class _MaskedAverage:
    """A function that can be copied and pickled if `average` can."""

    def __init__(self, average: Average) -> None:
        self.average = average

    def __call__(self, averaged: Tensor, current: Tensor, count: Tensor | int) -> Tensor:
        if current.dtype == torch.bool:
            return current
        return self.average(averaged, current, count).masked_fill(current == 0, 0)


def _on_manifolds(model: Module) -> list[str]:
    """Return the names of points and of what their manifolds learn; geoopt gives points the attribute `manifold`."""
    parameters = dict(model.named_parameters())
    manifolds = [getattr(parameter, "manifold", None) for parameter in parameters.values()]
    learned = {id(value) for space in manifolds if isinstance(space, Module) for value in space.parameters()}
    return [
        name
        for (name, parameter), space in zip(parameters.items(), manifolds, strict=True)
        if space is not None or id(parameter) in learned
    ]
