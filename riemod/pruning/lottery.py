"""Lottery tickets: the mask of a pruned net with fresh or rewound weights."""

import copy
from collections.abc import Mapping
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.nn import Module

from riemod._checks import check_generator, check_module, check_type, shown, takes
from riemod.initialization import Initializer, sparsity_aware
from riemod.masks import mask_name, masked_parameters
from riemod.pruning.magnitude import MagnitudePruner
from riemod.pruning.orders import order_names
from riemod.regularization.regularizer import ModuliRegularizer

__all__ = ["LotteryTicket", "lottery_ticket"]


class LotteryTicket(NamedTuple):
    """Holds a model to train again, its pruner, and its regularizer with a fixed embedding."""

    model: Module
    pruner: MagnitudePruner
    moduli: ModuliRegularizer | None


def lottery_ticket(
    model: Module,
    pruner: MagnitudePruner,
    moduli: ModuliRegularizer | None = None,
    *,
    generator: torch.Generator | None = None,
    initialize: Initializer | None = None,
    rewind: Mapping[str, Any] | None = None,
) -> LotteryTicket:
    """Copy a pruned model with weights w = mask * w_0, where w_0 is drawn anew or taken from an earlier epoch.

    The copies keep the masks and the embedding, which is now fixed.

    Args:
        model: the pruned model; it, the pruner and the regularizer are not changed.
        pruner: of this model. The ticket's copy has a constant schedule at the present sparsity, so it prunes no more.
        moduli: a `ModuliRegularizer` on this model, or None. Its copy penalizes the copied weights.
        generator: source of the fresh weights; None draws from torch's global generator.
        initialize: draws the fresh weights, as the functions of `riemod.initialization` do. None is `sparsity_aware`:
            variance by the inputs that the mask leaves, spectral radius 1 in plain RNNs. `default` draws as torch does.
        rewind: a copy of the `state_dict()` of this model at an earlier epoch, before or after the masks were made
            (`copy.deepcopy(model.state_dict())`; without a copy its tensors follow the training). Its weights are taken
            instead of fresh ones; its masks, and an embedding inside the model, are not.

    Returns:
        (model, pruner, moduli), linked to each other as the originals are.

    Raises:
        TypeError: an argument of another type.
        ValueError: the pruner is of another model; `rewind` has missing or unexpected keys, other shapes, or tensors
            that are those of the model; both `rewind` and `initialize` are given; or a submodule cannot draw its
            weights.

    Reference: Frankle and Carbin 2019, https://arxiv.org/abs/1803.03635; rewinding: Frankle et al. 2020,
    https://arxiv.org/abs/1912.05671.

    >>> model = torch.nn.Linear(4, 4)
    >>> pruner = MagnitudePruner(model)
    >>> pruner.prune(0.75)
    >>> ticket = lottery_ticket(model, pruner, generator=torch.Generator().manual_seed(0))
    >>> torch.equal(ticket.model.weight_mask, model.weight_mask), torch.equal(ticket.model.weight, model.weight)
    (True, False)
    """
    check_module("model", model)
    check_type("pruner", pruner, MagnitudePruner, "a MagnitudePruner")
    if pruner.model is not model:
        raise ValueError("pruner must be of the given model, got one of another model")
    if moduli is not None:
        check_type("moduli", moduli, ModuliRegularizer, "a ModuliRegularizer or None")
    check_generator(generator)
    if initialize is not None and not (callable(initialize) and takes(initialize, model, generator=None, skip=None)):
        raise TypeError(f"initialize must be a draw of riemod.initialization or None, got {shown(initialize)}")
    if initialize is not None and rewind is not None:
        raise ValueError("initialize must be None if rewind is given, got both")
    weights = None if rewind is None else _checked_weights(model, moduli, rewind)
    ticket = LotteryTicket(*copy.deepcopy((model, pruner, moduli)))
    ticket.pruner.freeze()
    if ticket.moduli is not None:
        ticket.moduli.freeze()
    if weights is None:
        draw = sparsity_aware if initialize is None else initialize
        draw(ticket.model, generator=generator, skip=ticket.moduli)
    else:
        ticket.model.load_state_dict(weights, strict=False)
    for _, parameter, mask in masked_parameters(ticket.model):
        parameter.detach().masked_fill_(~mask, 0)
    return ticket


def _checked_weights(model: Module, moduli: object, rewind: Mapping[str, Any]) -> dict[str, Any]:
    """Return the entries of `rewind` to load: all of the model's but masks and points; raise unless it has them."""
    if not isinstance(rewind, Mapping):
        raise TypeError(f"rewind must be a state_dict, got {type(rewind).__name__}")
    present = model.state_dict()
    ignored = {key for name, _, _ in masked_parameters(model) for key in (mask_name(name), *order_names(name))}
    inside = tuple(f"{name}." for name, part in model.named_modules(remove_duplicate=False) if part is moduli)
    ignored |= {key for key in present if key.startswith(inside)}
    expected = present.keys() - ignored
    missing, unexpected = sorted(expected - rewind.keys()), sorted(rewind.keys() - present.keys())
    if missing or unexpected:
        raise ValueError(
            f"rewind must be a state_dict of this model, got missing keys {missing} and unexpected keys {unexpected}"
        )
    for key in sorted(expected):
        old, new = present[key], rewind[key]
        if isinstance(old, Tensor) and not isinstance(new, Tensor):
            raise TypeError(f"rewind must hold a tensor as {key}, got {type(new).__name__}")
        if isinstance(old, Tensor) and old.shape != new.shape:
            raise ValueError(f"rewind must hold {key} of shape {tuple(old.shape)}, got {tuple(new.shape)}")
        if isinstance(old, Tensor) and _share_memory(old, new):
            raise ValueError(
                f"rewind must be a copy from an earlier epoch, got {key} in the memory of the model's own {key}, which "
                "has been trained since: keep copy.deepcopy(model.state_dict()) at that epoch"
            )
    return {key: rewind[key] for key in expected}


def _share_memory(first: Tensor, second: Tensor) -> bool:
    """Return whether two tensors share memory; those without any, as on the meta device, do not."""
    address = first.untyped_storage().data_ptr() if first.numel() else 0
    return address != 0 and first.device == second.device and address == second.untyped_storage().data_ptr()
