"""The Lightning callback in Lightning's own loop."""

import pytest
import torch
from torch import Tensor

pytest.importorskip("lightning")
from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.plugins.precision import MixedPrecision
from torch.utils.data import DataLoader, TensorDataset

from riemod.integrations.lightning import ModuliCallback
from riemod.optim import riemannian_adam
from tests.integrations.loops import Net, check_pruned, check_trained_alike, check_went_on, data, pruner_of

# Lightning advises on workers and loggers, and calls deprecated functions of other libraries.
pytestmark = pytest.mark.filterwarnings("ignore")


class Module(LightningModule):
    def __init__(self, penalized: bool = False) -> None:
        super().__init__()
        self.net = Net(penalized)

    def training_step(self, batch: list[Tensor]) -> Tensor:
        x, y = batch
        return self.net.loss(self.net.outputs(x), y)

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return riemannian_adam(self, self.net.moduli, lr=1e-2)


def trainer_of(*callbacks: ModuliCallback, folder, epochs: int = 3, **options) -> Trainer:
    return Trainer(
        max_epochs=epochs, accelerator="cpu", logger=False, enable_progress_bar=False, enable_model_summary=False,
        default_root_dir=folder, callbacks=list(callbacks), **options,
    )  # fmt: skip


def fit(module: Module, *callbacks: ModuliCallback, folder, resume_from=None, **options) -> Trainer:
    trainer = trainer_of(*callbacks, folder=folder, **options)
    batches = DataLoader(TensorDataset(*data()), batch_size=4)
    trainer.fit(module, batches, ckpt_path=resume_from, weights_only=False if resume_from else None)
    return trainer


@pytest.mark.parametrize(
    "options",
    [{}, {"accumulate_grad_batches": 3}, {"gradient_clip_val": 0.05}, {"precision": "bf16-mixed"}],
    ids=["plain", "accumulated", "clipped", "bf16"],
)
def test_the_penalty_is_that_of_a_loss_that_includes_it(options, tmp_path):
    penalized, outside = Module(penalized=True), Module()
    fit(penalized, folder=tmp_path, enable_checkpointing=False, **options)
    fit(outside, ModuliCallback(outside.net.moduli), folder=tmp_path, enable_checkpointing=False, **options)
    check_trained_alike(outside.net, penalized.net)


def test_scaled_gradients_get_the_penalty_unscaled(tmp_path):
    points = []
    for scale in (1.0, 1024.0):
        module = Module()
        scaler = torch.amp.GradScaler("cpu", init_scale=scale, growth_interval=1000)
        plugin = MixedPrecision("16-mixed", "cpu", scaler=scaler)
        callback = ModuliCallback(module.net.moduli)
        fit(module, callback, folder=tmp_path, enable_checkpointing=False, plugins=[plugin])
        assert scaler.get_scale() == scale
        points.append(module.net.moduli.points)
    torch.testing.assert_close(*points, rtol=1e-4, atol=1e-4)
    expected = Module(penalized=True)
    fit(expected, folder=tmp_path, enable_checkpointing=False)
    torch.testing.assert_close(points[1], expected.net.moduli.points, rtol=2e-3, atol=2e-3)


def test_it_prunes_keeps_the_masks_logs_and_goes_on_from_a_checkpoint(tmp_path):
    module = Module()
    pruner = pruner_of(module)
    callback = ModuliCallback(module.net.moduli, pruner)
    trainer = fit(module, callback, folder=tmp_path, epochs=4, gradient_clip_val=1.0)
    check_pruned(module, pruner)
    assert trainer.callback_metrics["moduli/penalty"] > 0
    assert trainer.callback_metrics["sparsity/total"] == pytest.approx(pruner.sparsity()["total"])
    # The optimizer's own hook is left; the callback has removed the one that it added.
    assert len(trainer.optimizers[0]._optimizer_step_pre_hooks) == 1
    trainer.save_checkpoint(tmp_path / "whole.ckpt")

    again = Module()
    other = pruner_of(again)
    callback = ModuliCallback(again.net.moduli, other)
    checkpoint = tmp_path / "whole.ckpt"
    resumed = fit(again, callback, folder=tmp_path, epochs=5, enable_checkpointing=False, resume_from=checkpoint)
    assert resumed.current_epoch == 5
    check_went_on(again.net, other, module.net, pruner)
