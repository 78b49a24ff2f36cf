"""A callback for Hugging Face's Trainer that adds the penalty, prunes, keeps masks and logs.

Needs `pip install riemod[transformers]`.
"""

from typing import Any

from riemod.integrations._step import add_penalty, check_parts
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
        log: whether to add "moduli_penalty" and "sparsity" to the Trainer's log.

    Raises:
        ValueError: if moduli and pruner are both None; when training starts, if `fp16` is on and `max_grad_norm`
            is 0, because the Trainer then does not unscale gradients before the callback sees them.
        TypeError: if one is of another type.

    Reference: Eq. 5 of https://arxiv.org/abs/2406.06290.

    >>> import riemod, torch
    >>> layer = torch.nn.RNN(2, 8)
    >>> ModuliCallback(riemod.ModuliRegularizer(layer, riemod.manifolds.Torus(2))).log
    True
    """

    def __init__(
        self, moduli: ModuliRegularizer | None = None, pruner: MagnitudePruner | None = None, *, log: bool = True
    ) -> None:
        super().__init__()
        check_parts(moduli, pruner)
        self.moduli, self.pruner, self.log = moduli, pruner, log
        self._penalty: float | None = None
        self._handle: MaskHandle | None = None

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Make the optimizer keep pruned weights at zero."""
        if self.moduli is not None and args.fp16 and not args.max_grad_norm:
            raise ValueError(f"max_grad_norm must be > 0 with fp16=True, got {args.max_grad_norm}: see ModuliCallback")
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
            self._penalty = add_penalty(self.moduli, kwargs["optimizer"]).item()

    def on_optimizer_step(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Clear the points' gradients; the Trainer clears the model's, and the model may not hold the points."""
        if self.moduli is not None:
            self.moduli.zero_grad()

    def on_log(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        """Add the last penalty and the sparsity to the log entry of the training loss."""
        if not self.log or not state.log_history or "loss" not in state.log_history[-1]:
            return
        if self._penalty is not None:
            state.log_history[-1]["moduli_penalty"] = self._penalty
        if self.pruner is not None:
            state.log_history[-1]["sparsity"] = self.pruner.sparsity()["total"]

    def on_train_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Detach the masks from the optimizer."""
        if self._handle is not None:
            self._handle.remove()
            self._handle = None
