"""A callback for Hugging Face's Trainer: penalty, pruning, masks and their log.

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
    """gradients <- gradients of the task + gradients of strength R, masked, before each step of the optimizer.

    The penalty is added once a step, after gradients were accumulated, averaged over processes, unscaled and clipped:
    so it is right under gradient accumulation and mixed precision, and clipping does not touch it. Let the model hold
    the regularizer as an attribute, so that its points are saved and moved with it, and hand the Trainer
    `optimizers=(riemod.optim.riemannian_adam(model, moduli), None)` if points are learned. The model's loss must
    not hold the penalty.

    Args:
        moduli: the penalty; None to prune alone.
        pruner: one with a schedule, whose epoch is the Trainer's, or one without, whose masks are only held.
        log: whether "moduli_penalty" and "sparsity" join the Trainer's log.

    Raises:
        ValueError: if there is neither a regularizer nor a pruner; when training starts, if gradients are float16
            and `max_grad_norm` is 0, for they would still be scaled.
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
        """Keep pruned weights at zero under the optimizer."""
        if self.moduli is not None and args.fp16 and not args.max_grad_norm:
            raise ValueError(f"max_grad_norm must be > 0 with fp16=True, got {args.max_grad_norm}: see ModuliCallback")
        if self.pruner is not None:
            # The Trainer's wrapper steps the optimizer inside it, and its own hooks are never called.
            optimizer = kwargs["optimizer"]
            self._handle = attach_masks(getattr(optimizer, "optimizer", optimizer), self.pruner.model)

    def on_epoch_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Prune to the schedule's sparsity of this epoch."""
        if self.pruner is not None and self.pruner.schedule is not None:
            # A sum of fractions of an epoch, which may fall short of the whole by rounding.
            self.pruner.start_epoch(int((state.epoch or 0.0) + 1e-6))

    def on_pre_optimizer_step(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Add the penalty's gradients."""
        if self.moduli is not None:
            self._penalty = add_penalty(self.moduli, kwargs["optimizer"]).item()

    def on_optimizer_step(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Clear the points' gradients: the Trainer clears the model's, which need not hold the points."""
        if self.moduli is not None:
            self.moduli.zero_grad()

    def on_log(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        """Put the last penalty and the sparsity into the log of the training loss."""
        if not self.log or not state.log_history or "loss" not in state.log_history[-1]:
            return
        if self._penalty is not None:
            state.log_history[-1]["moduli_penalty"] = self._penalty
        if self.pruner is not None:
            state.log_history[-1]["sparsity"] = self.pruner.sparsity()["total"]

    def on_train_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Let go of the optimizer."""
        if self._handle is not None:
            self._handle.remove()
            self._handle = None
