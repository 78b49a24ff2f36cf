"""Masks: which entries of a parameter are kept, and optimizers that keep the others at zero.

A mask is a plain bool buffer named `<parameter>_mask`, True where the weight is kept, on the module that owns the
parameter. So `state_dict()` saves it, `.to()` moves it and `deepcopy` copies it. The parameter itself stays as it was:
`torch.nn.utils.prune` and `parametrize` replace it, which breaks the flat weights of `torch.nn.RNN`.
"""

from riemod.masks.averages import masked_average, sync_average
from riemod.masks.buffers import (
    apply_masks,
    check_mask_name_is_free,
    find_buffer,
    find_mask,
    mask_name,
    masked_parameters,
    register_mask,
    zero_pruned,
)
from riemod.masks.loading import masks_from_zeros, restore_masks
from riemod.masks.optimizers import MaskHandle, MaskHook, attach_masks, mask_gradients, mask_optimizer_state

__all__ = [
    "MaskHandle",
    "MaskHook",
    "apply_masks",
    "attach_masks",
    "check_mask_name_is_free",
    "find_buffer",
    "find_mask",
    "mask_gradients",
    "mask_name",
    "mask_optimizer_state",
    "masked_average",
    "masked_parameters",
    "masks_from_zeros",
    "register_mask",
    "restore_masks",
    "sync_average",
    "zero_pruned",
]
