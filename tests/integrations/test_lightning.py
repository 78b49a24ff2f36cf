"""The Lightning callback against Lightning itself."""

import pytest
import torch
from torch import Tensor, nn

pytest.importorskip("lightning")
from lightning.pytorch import LightningModule, Trainer, callbacks
from torch.optim.swa_utils import get_ema_multi_avg_fn
from torch.utils.data import DataLoader, TensorDataset

from riemod import AutoStrength, ConstantSchedule, LinearSchedule, MagnitudePruner, ModuliRegularizer
from riemod.integrations.lightning import ModuliCallback
from riemod.manifolds import Torus
from riemod.masks import restore_masks
from riemod.optim import riemannian_adam
from tests.strategies import generator

# Lightning's advice on workers and loggers, and what it still calls of others.
pytestmark = pytest.mark.filterwarnings("ignore")


class Module(LightningModule):
    def __init__(self, inside: bool = False) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.rnn, self.readout = nn.RNN(1, 8), nn.Linear(8, 1)
        self.moduli = ModuliRegularizer(self.rnn, Torus(2), strength=0.1, learn=True, generator=generator(0))
        self.inside = inside

    def training_step(self, batch: list[Tensor]) -> Tensor:
        x, y = batch
        loss = (self.readout(self.rnn(x.transpose(0, 1))[0][-1]) - y).square().mean()
        return loss + self.moduli() if self.inside else loss

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return riemannian_adam(self, self.moduli, lr=1e-2)


def data() -> DataLoader:
    x = torch.randn(24, 5, 1, generator=generator(1))
    return DataLoader(TensorDataset(x, x.sum(1).sign()), batch_size=4)


def fit(module: Module, *callbacks: ModuliCallback, folder, epochs: int = 3, **options) -> Trainer:
    trainer = Trainer(
        max_epochs=epochs, accelerator="cpu", logger=False, enable_progress_bar=False, enable_model_summary=False,
        default_root_dir=folder, callbacks=list(callbacks), **options,
    )  # fmt: skip
    trainer.fit(module, data())
    return trainer


@pytest.mark.parametrize(
    "options",
    [{}, {"accumulate_grad_batches": 3}, {"gradient_clip_val": 0.05}, {"precision": "bf16-mixed"}],
    ids=["plain", "accumulated", "clipped", "bf16"],
)
def test_the_penalty_is_that_of_a_loss_that_includes_it(options, tmp_path):
    inside, outside = Module(inside=True), Module()
    fit(inside, folder=tmp_path, enable_checkpointing=False, **options)
    fit(outside, ModuliCallback(outside.moduli), folder=tmp_path, enable_checkpointing=False, **options)
    torch.testing.assert_close(dict(outside.named_parameters()), dict(inside.named_parameters()), rtol=1e-4, atol=1e-5)
    assert (outside.moduli.points - Module().moduli.points).abs().max() > 1e-2


class Scaled(Module):
    """Scales its penalty itself, in its loss and in a hook, as without a callback."""

    def __init__(self) -> None:
        super().__init__(inside=True)
        self.strength = AutoStrength(self.moduli, 0.1, every=2)

    def training_step(self, batch: list[Tensor]) -> Tensor:
        self.inside = False
        return super().training_step(batch) + self.strength()

    def on_before_optimizer_step(self, optimizer: torch.optim.Optimizer) -> None:
        self.strength.update()


@pytest.mark.parametrize(
    "options",
    [{}, {"accumulate_grad_batches": 3}, {"gradient_clip_val": 0.05}],
    ids=["plain", "accumulated", "clipped"],
)
def test_a_strength_is_found_as_in_a_loss_that_includes_the_penalty(options, tmp_path):
    inside, outside = Scaled(), Module()
    strength = AutoStrength(outside.moduli, 0.1, every=2)
    callback = ModuliCallback(outside.moduli, strength=strength)
    fit(inside, folder=tmp_path, enable_checkpointing=False, **options)
    trainer = fit(outside, callback, folder=tmp_path, enable_checkpointing=False, **options)
    torch.testing.assert_close(strength.strength, inside.strength.strength, rtol=1e-3, atol=0.0)
    names = [name for name, _ in outside.named_parameters()]
    for name in names:
        torch.testing.assert_close(outside.get_parameter(name), inside.get_parameter(name), rtol=1e-3, atol=1e-4)
    assert trainer.callback_metrics["moduli/strength"] == pytest.approx(float(strength.strength))


def test_two_strengths_go_on_from_a_checkpoint_with_the_same_bits(tmp_path):
    class Two(Module):
        def __init__(self) -> None:
            super().__init__()
            self.other = ModuliRegularizer(self.readout, Torus(2), strength=0.2, generator=generator(0))

    def run(epochs: int, **options) -> list[dict[str, Tensor]]:
        module = Two()
        pair = [ModuliCallback(one, strength="auto") for one in (module.moduli, module.other)]
        trainer = Trainer(
            max_epochs=epochs, accelerator="cpu", logger=False, enable_progress_bar=False, enable_model_summary=False,
            default_root_dir=tmp_path, callbacks=pair, enable_checkpointing=False,
        )  # fmt: skip
        trainer.fit(module, data(), **options)
        trainer.save_checkpoint(tmp_path / f"{epochs}.ckpt")
        return [callback.strength.state_dict() for callback in pair]

    whole = run(4)
    run(2)
    resumed = run(4, ckpt_path=tmp_path / "2.ckpt", weights_only=False)
    assert whole[0]["factor"] != whole[1]["factor"]
    for one, other in zip(whole, resumed, strict=True):
        assert one == other


def test_scaled_gradients_get_the_penalty_unscaled(tmp_path):
    from lightning.pytorch.plugins.precision import MixedPrecision

    values = []
    for scale in (1.0, 1024.0):
        module = Module()
        scaler = torch.amp.GradScaler("cpu", init_scale=scale, growth_interval=1000)
        plugin = MixedPrecision("16-mixed", "cpu", scaler=scaler)
        fit(module, ModuliCallback(module.moduli), folder=tmp_path, enable_checkpointing=False, plugins=[plugin])
        assert scaler.get_scale() == scale
        values.append(module)
    points = [module.moduli.points for module in values]
    torch.testing.assert_close(*points, rtol=1e-4, atol=1e-4)
    expected = Module(inside=True)
    fit(expected, folder=tmp_path, enable_checkpointing=False)
    torch.testing.assert_close(points[1], expected.moduli.points, rtol=2e-3, atol=2e-3)


def test_it_prunes_holds_the_masks_logs_and_goes_on_from_a_checkpoint(tmp_path):
    def build() -> tuple[Module, MagnitudePruner]:
        module = Module()
        return module, MagnitudePruner(module, LinearSchedule(final=0.8, epochs=4))

    module, pruner = build()
    callback = ModuliCallback(module.moduli, pruner)
    trainer = fit(module, callback, folder=tmp_path, epochs=4, gradient_clip_val=1.0)
    assert pruner.sparsity()["total"] == pytest.approx(0.8, abs=0.01)
    for name, mask in pruner.masks().items():
        assert not module.get_parameter(name)[~mask].any()
    assert trainer.callback_metrics["moduli/penalty"] > 0
    assert trainer.callback_metrics["sparsity/total"] == pytest.approx(pruner.sparsity()["total"])
    # The optimizer's own hook is left, the callback's is gone.
    assert len(trainer.optimizers[0]._optimizer_step_pre_hooks) == 1
    trainer.save_checkpoint(tmp_path / "whole.ckpt")

    again, other = build()
    resumed = Trainer(
        max_epochs=5, accelerator="cpu", logger=False, enable_progress_bar=False, enable_model_summary=False,
        default_root_dir=tmp_path, callbacks=[ModuliCallback(again.moduli, other)], enable_checkpointing=False,
    )  # fmt: skip
    resumed.fit(again, data(), ckpt_path=tmp_path / "whole.ckpt")
    assert other.sparsity() == pruner.sparsity()
    assert resumed.current_epoch == 5
    assert not torch.equal(again.moduli.points, module.moduli.points)
    assert (again.moduli.points - module.moduli.points).abs().max() < 0.2


AVERAGES = {
    "StochasticWeightAveraging": {"swa_lrs": 1e-2, "swa_epoch_start": 1},
    "WeightAveraging": {},
    "WeightAveraging without buffers": {"use_buffers": False},
    "WeightAveraging of several": {"multi_avg_fn": get_ema_multi_avg_fn(0.9)},
    "EMAWeightAveraging": {"decay": 0.9},
}


@pytest.mark.parametrize("first", [True, False])
@pytest.mark.parametrize("kind", AVERAGES)
def test_averages_have_zeros_masks_and_points(kind, first, tmp_path):
    make = getattr(callbacks, kind.split()[0], None)
    if make is None:
        pytest.skip(f"this Lightning has no {kind.split()[0]}")
    module = Module()
    pruner = MagnitudePruner(module, LinearSchedule(final=0.8, epochs=3))
    pair = [ModuliCallback(module.moduli, pruner), make(**AVERAGES[kind])]
    before = module.moduli.points.detach().clone()
    trainer = fit(module, *(pair if first else pair[::-1]), folder=tmp_path, epochs=4, enable_checkpointing=False)
    total = sum(mask.numel() for mask in pruner.masks().values())
    assert sum(int((~mask).sum()) for mask in pruner.masks().values()) == round(0.8 * total)
    for name, mask in pruner.masks().items():
        assert torch.equal(module.get_parameter(name) != 0, mask)
    module.moduli.embeddings[0].manifold.check_points(module.moduli.points)
    assert not torch.equal(module.moduli.points, before)
    assert trainer.current_epoch == 4


def test_a_checkpoint_with_masks_loads_with_one_line(tmp_path):
    class Restoring(Module):
        def on_load_checkpoint(self, checkpoint):
            restore_masks(self, checkpoint["state_dict"])

    module = Module()
    pruner = MagnitudePruner(module, ConstantSchedule(0.8))
    trainer = fit(module, ModuliCallback(module.moduli, pruner), folder=tmp_path, epochs=1)
    trainer.save_checkpoint(tmp_path / "pruned.ckpt", weights_only=True)
    with pytest.raises(RuntimeError, match=r"Unexpected key\(s\)"):
        Module.load_from_checkpoint(tmp_path / "pruned.ckpt", weights_only=True)
    loaded = Restoring.load_from_checkpoint(tmp_path / "pruned.ckpt", weights_only=True)
    assert all(torch.equal(value, module.state_dict()[name]) for name, value in loaded.state_dict().items())
    fit(loaded, folder=tmp_path, epochs=1, enable_checkpointing=False)
    for name, mask in pruner.masks().items():
        assert torch.equal(loaded.get_parameter(name) != 0, mask)


def test_bad_input_is_named():
    with pytest.raises(ValueError, match="moduli or pruner must be given, got None for both"):
        ModuliCallback()
    with pytest.raises(TypeError, match="moduli must be a ModuliRegularizer, got RNN"):
        ModuliCallback(nn.RNN(2, 2))
    with pytest.raises(TypeError, match="pruner must be a MagnitudePruner, got float"):
        ModuliCallback(pruner=0.9)
    with pytest.raises(ValueError, match="strength must be an AutoStrength of moduli"):
        ModuliCallback(Module().moduli, strength=AutoStrength(Module().moduli))
