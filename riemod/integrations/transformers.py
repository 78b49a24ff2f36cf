"""A callback for Hugging Face's Trainer that adds the penalty, prunes, keeps masks and logs.

Needs `pip install riemod[transformers]`.
"""

from typing import Any

import torch
from torch import nn

from riemod.integrations._step import Strength, add_penalty, check_parts, strength_of
from riemod.masks import MaskHandle, attach_masks
from riemod.pruning import MagnitudePruner
from riemod.regularization import ModuliRegularizer

try:
    from transformers import (  # pyright: ignore[reportMissingImports]
        TrainerCallback,
        TrainerControl,
        TrainerState,
        TrainingArguments,
    )
except ImportError as error:
    message = "riemod.integrations.transformers needs transformers: pip install 'riemod[transformers]'"
    raise ImportError(message) from error


class ModuliCallback(TrainerCallback):
    """Adds the penalty's gradients before each step of the optimizer, prunes each epoch, and keeps the masks.

    gradient = mask (clipped gradient of the task's loss + gradient of strength R).

    The penalty's gradients are added after the Trainer has accumulated, averaged over processes, unscaled and clipped
    the task's gradients. Gradient accumulation and mixed precision therefore need no change, and the penalty is not
    clipped. The model's loss must not contain the penalty.

    The model should hold the regularizer as an attribute, so that its points are saved and moved with the model. If
    points are learned, give the Trainer `optimizers=(riemod.optim.riemannian_adam(model, moduli), None)`.

    Args:
        moduli: the penalty; None for pruning only.
        pruner: with a schedule, it prunes at the start of each of the Trainer's epochs; without one, its masks are
            kept as they are. None for the penalty only.
        strength: None for the penalty's own; "auto", or an `AutoStrength` of moduli, for one that follows the task's
            gradient, as it was clipped. It goes on from the Trainer's checkpoints.
        log: whether to add "moduli_penalty", "moduli_strength" if it is found, and "sparsity" to the Trainer's log.

    Raises:
        ValueError: if moduli and pruner are both None, or strength is not of moduli; when training starts, if `fp16` is
            on and `max_grad_norm` is 0, because the Trainer then does not unscale gradients before the callback sees
            them.
        TypeError: if one is of another type.

    Reference: Eq. 5 of https://arxiv.org/abs/2406.06290.

    >>> import riemod, torch
    >>> layer = torch.nn.RNN(2, 8)
    >>> ModuliCallback(riemod.ModuliRegularizer(layer, riemod.manifolds.Torus(2))).log
    True
    """

    def __init__(
        self,
        moduli: ModuliRegularizer | None = None,
        pruner: MagnitudePruner | None = None,
        *,
        strength: Strength = None,
        log: bool = True,
    ) -> None:
        super().__init__()
        check_parts(moduli, pruner)
        self.moduli, self.pruner, self.log = moduli, pruner, log
        self.strength = strength_of(moduli, strength)
        self._key = ""
        self._penalty: float | None = None
        self._handle: MaskHandle | None = None

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Make the optimizer keep pruned weights at zero, and take what the strength of a checkpoint had come to."""
        if self.moduli is not None and args.fp16 and not args.max_grad_norm:
            raise ValueError(f"max_grad_norm must be > 0 with fp16=True, got {args.max_grad_norm}: see ModuliCallback")
        if self.moduli is not None and self.strength is not None:
            self.strength.to(self.moduli.weights[0].tensor.device)
            self._key = _key(kwargs["model"], self.moduli)
            if self._key in state.stateful_callbacks:
                saved = state.stateful_callbacks[self._key]
                own = self.strength.state_dict()
                self.strength.load_state_dict({name: torch.tensor(saved[name], dtype=own[name].dtype) for name in own})
        if self.pruner is not None:
            # The Trainer wraps the optimizer and steps the inner one, so hooks of the wrapper are never called.
            optimizer = kwargs["optimizer"]
            self._handle = attach_masks(getattr(optimizer, "optimizer", optimizer), self.pruner.model)

    def on_epoch_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Prune to the sparsity that the schedule has for this epoch."""
        if self.pruner is not None and self.pruner.schedule is not None:
            # The Trainer adds up fractions of an epoch, and rounding may leave the sum just below a whole number.
            self.pruner.start_epoch(int((state.epoch or 0.0) + 1e-6))

    def on_pre_optimizer_step(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Add the penalty's gradients to those that the Trainer has clipped."""
        if self.moduli is not None:
            self._penalty = add_penalty(self.moduli, kwargs["optimizer"], strength=self.strength).item()

    def on_optimizer_step(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Clear the points' gradients; the Trainer clears the model's, and the model may not hold the points."""
        if self.moduli is not None:
            self.moduli.zero_grad()

    def on_step_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        """Put what the strength has come to into the state that the Trainer saves with its checkpoints."""
        if self.strength is not None:
            # ExportableState would have the Trainer build the callback anew from numbers alone.
            values = {name: value.item() for name, value in self.strength.state_dict().items()}
            state.stateful_callbacks[self._key] = values

    def on_log(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        """Add the last penalty and the sparsity to the log entry of the training loss."""
        if not self.log or not state.log_history or "loss" not in state.log_history[-1]:
            return
        if self._penalty is not None:
            state.log_history[-1]["moduli_penalty"] = self._penalty
        if self.strength is not None:
            state.log_history[-1]["moduli_strength"] = self.strength.strength.item()
        if self.pruner is not None:
            state.log_history[-1]["sparsity"] = self.pruner.sparsity()["total"]

    def on_train_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Detach the masks from the optimizer."""
        if self._handle is not None:
            self._handle.remove()
            self._handle = None


def _key(model: nn.Module, moduli: ModuliRegularizer) -> str:
    """Return a name for a regularizer's strength that others in the model do not have."""
    own = {id(weight.whole) for weight in moduli.weights}
    return " ".join(["riemod strength of", *(name for name, value in model.named_parameters() if id(value) in own)])
