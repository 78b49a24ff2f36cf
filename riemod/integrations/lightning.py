"""A Lightning callback that adds the penalty, prunes, keeps masks and logs. Needs `pip install riemod[lightning]`."""

from collections.abc import Iterator
from typing import Any

import torch
from torch.nn import Module
from torch.optim import Optimizer
from torch.optim.swa_utils import AveragedModel

from riemod._torch import takes_scaled_gradients
from riemod.integrations._step import Strength, add_penalty, check_parts, strength_of
from riemod.masks import MaskHandle, attach_masks, masked_average, sync_average
from riemod.masks.loading import take_masks_in_loading
from riemod.pruning import MagnitudePruner
from riemod.regularization import ModuliRegularizer

try:
    from lightning.pytorch import Callback, LightningModule, Trainer  # pyright: ignore[reportMissingImports]
except ImportError as error:
    raise ImportError("riemod.integrations.lightning needs Lightning: pip install 'riemod[lightning]'") from error


_STRENGTHS = "riemod_strengths"


class ModuliCallback(Callback):
    """Adds the penalty's gradients before each step of the optimizer, prunes each epoch, and keeps the masks.

    gradient = mask (gradient of the task's loss + gradient of strength R).

    The penalty's gradients are added after Lightning has accumulated, averaged over processes and unscaled the task's
    gradients, and before it clips them. Gradient accumulation and mixed precision therefore need no change.
    `training_step` must return the task's loss without the penalty.

    The LightningModule should hold the regularizer as an attribute, so that its points are saved and moved with the
    module. With several processes use `strategy="ddp_find_unused_parameters_true"`, which also makes the points equal
    in all of them. If points are learned, `configure_optimizers` should return
    `riemod.optim.riemannian_adam(self, self.moduli)`.

    Lightning's averages (`StochasticWeightAveraging`, `WeightAveraging`, `EMAWeightAveraging`) may stand before or
    after it in `callbacks`: masks and points are not averaged, and the average has the model's zeros, masks and points
    (`riemod.masks.sync_average`) whenever Lightning evaluates, saves or takes it.

    `load_from_checkpoint` refuses the masks of a pruned model as unexpected keys. Let the LightningModule have
    `def on_load_checkpoint(self, checkpoint): riemod.masks.restore_masks(self, checkpoint["state_dict"])`.

    Args:
        moduli: the penalty; None for pruning only.
        pruner: with a schedule, it prunes at the start of each of Lightning's epochs; without one, its masks are kept
            as they are. None for the penalty only.
        strength: None for the penalty's own; "auto", or an `AutoStrength` of moduli, for one that follows the task's
            gradient. It is updated after unscaling and before clipping, and goes on from Lightning's checkpoints.
        log: whether to log "moduli/penalty" each step, "moduli/strength" if it is found, and "sparsity/<tensor>" each
            epoch.

    Raises:
        ValueError: if moduli and pruner are both None, or strength is not of moduli; at a step, if two optimizers share
            the weights of a penalty whose strength is found.
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
        self._handles: list[MaskHandle] = []

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Let the module take the masks of a checkpoint from which training goes on."""
        take_masks_in_loading(pl_module)

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Keep pruned weights at zero under every optimizer, and bool masks out of averages."""
        if self.moduli is not None and self.strength is not None:
            self.strength.to(self.moduli.weights[0].tensor.device)
        for average in _averages(trainer, pl_module):
            if isinstance(average, AveragedModel) and average.use_buffers:
                _average_no_masks(average)
        if self.pruner is not None:
            self._handles = [attach_masks(optimizer, self.pruner.model) for optimizer in trainer.optimizers]

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Prune to the sparsity that the schedule has for this epoch."""
        if self.pruner is None:
            return
        if self.pruner.schedule is not None:
            self.pruner.start_epoch(trainer.current_epoch)
        if self.log:
            pl_module.log_dict({f"sparsity/{name}": value for name, value in self.pruner.sparsity().items()})

    def on_before_optimizer_step(self, trainer: Trainer, pl_module: LightningModule, optimizer: Optimizer) -> None:
        """Add the penalty's gradients, then mask all gradients, so that clipping sees the norm that the step uses."""
        if self.moduli is not None:
            penalty = add_penalty(self.moduli, optimizer, _gradient_scale(trainer, optimizer), self.strength)
            if self.log:
                pl_module.log("moduli/penalty", penalty)
            if self.log and self.strength is not None:
                pl_module.log("moduli/strength", self.strength.strength)
        if self.pruner is not None:
            self.pruner.mask_gradients()

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Give averages the masks and points of the model."""
        for average in _averages(trainer, pl_module):
            sync_average(average, pl_module)

    def on_validation_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Give averages the masks and points of the model, before they are evaluated."""
        self.on_train_epoch_end(trainer, pl_module)

    # Not state_dict: Lightning would then refuse two of these callbacks, as for two regularizers.
    def on_save_checkpoint(self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]) -> None:
        """Put what the strength has come to beside the model's weights."""
        if self.strength is not None:
            checkpoint.setdefault(_STRENGTHS, []).append(self.strength.state_dict())

    def on_load_checkpoint(self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]) -> None:
        """Take what the strength had come to; from a checkpoint without it, it is found anew."""
        alike = [one for one in _callbacks(trainer) if isinstance(one, ModuliCallback) and one.strength is not None]
        saved = dict(zip(map(id, alike), checkpoint.get(_STRENGTHS, []), strict=False))
        if self.strength is not None and id(self) in saved:
            self.strength.load_state_dict(saved[id(self)])

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Give averages the masks and points of the model, before it takes their weights; let go of the optimizers."""
        self.on_train_epoch_end(trainer, pl_module)
        for handle in self._handles:
            handle.remove()
        self._handles = []


def _gradient_scale(trainer: Trainer, optimizer: Optimizer) -> float:
    """Return the factor of an optimizer's gradients: the scaler's for fused optimizers, which unscale them, else 1."""
    scaler: Any = getattr(trainer.precision_plugin, "scaler", None)
    if scaler is None or not takes_scaled_gradients(optimizer):
        return 1.0
    return scaler.get_scale()


def _callbacks(trainer: Trainer) -> list[Callback]:
    return trainer.callbacks  # pyright: ignore[reportAttributeAccessIssue]


def _averages(trainer: Trainer, pl_module: LightningModule) -> Iterator[Module]:
    """Yield the averaged models that other callbacks hold; Lightning has no public name for them."""
    for callback in _callbacks(trainer):
        for value in vars(callback).values():
            if isinstance(value, AveragedModel) or (type(value) is type(pl_module) and value is not pl_module):
                yield value


def _average_no_masks(average: AveragedModel) -> None:
    several = average.multi_avg_fn
    if several is None:
        average.avg_fn = masked_average(average.avg_fn)
        return

    def average_several(averaged: Any, current: Any, count: Any) -> None:
        if current[0].dtype == torch.bool:
            for own, value in zip(averaged, current, strict=True):
                own.copy_(value)
        else:
            several(averaged, current, count)

    average.multi_avg_fn = average_several
