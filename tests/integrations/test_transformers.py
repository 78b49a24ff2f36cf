"""The callback for Hugging Face's Trainer against the Trainer itself."""

import pytest
import torch
from torch import Tensor, nn

pytest.importorskip("transformers")
pytest.importorskip("accelerate")
from safetensors.torch import load_file
from transformers import PretrainedConfig, PreTrainedModel, Trainer, TrainerCallback, TrainingArguments

from riemod import AutoStrength, LinearSchedule, MagnitudePruner, ModuliRegularizer
from riemod.integrations.transformers import ModuliCallback
from riemod.manifolds import Torus
from riemod.masks import masks_from_zeros, restore_masks
from riemod.optim import riemannian_adam
from tests.strategies import generator

# What the Trainer says of pinned memory and of the libraries that it finds.
pytestmark = pytest.mark.filterwarnings("ignore")


class Model(nn.Module):
    def __init__(self, inside: bool = False) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.rnn, self.readout = nn.RNN(1, 8), nn.Linear(8, 1)
        self.moduli = ModuliRegularizer(self.rnn, Torus(2), strength=0.1, learn=True, generator=generator(0))
        self.inside = inside

    def forward(self, inputs: Tensor, labels: Tensor) -> dict[str, Tensor]:
        outputs = self.readout(self.rnn(inputs.transpose(0, 1))[0][-1])
        loss = (outputs - labels).square().mean()
        return {"loss": loss + self.moduli() if self.inside else loss, "logits": outputs}


def data() -> list[dict[str, Tensor]]:
    x = torch.randn(24, 5, 1, generator=generator(1))
    return [{"inputs": row, "labels": row.sum(0).sign()} for row in x]


def fit(model: Model, *callbacks: ModuliCallback, folder, epochs: int = 3, resume: bool = False, **options) -> Trainer:
    arguments = TrainingArguments(
        output_dir=str(folder), num_train_epochs=epochs, per_device_train_batch_size=4, use_cpu=True, report_to="none",
        disable_tqdm=True, lr_scheduler_type="constant",
        **{"logging_steps": 2, "save_strategy": "no", "max_grad_norm": 0.0, **options},
    )  # fmt: skip
    optimizer = riemannian_adam(model, model.moduli, lr=1e-2)
    trainer = Trainer(model, arguments, train_dataset=data(), callbacks=list(callbacks), optimizers=(optimizer, None))
    trainer.train(resume_from_checkpoint=True if resume else None)
    return trainer


@pytest.mark.parametrize(
    "options", [{}, {"gradient_accumulation_steps": 3}, {"bf16": True}], ids=["plain", "accumulated", "bf16"]
)
def test_the_penalty_is_that_of_a_loss_that_includes_it(options, tmp_path):
    inside, outside = Model(inside=True), Model()
    fit(inside, folder=tmp_path, **options)
    fit(outside, ModuliCallback(outside.moduli), folder=tmp_path, **options)
    torch.testing.assert_close(dict(outside.named_parameters()), dict(inside.named_parameters()), rtol=1e-4, atol=1e-5)
    assert (outside.moduli.points - Model().moduli.points).abs().max() > 1e-2


def test_it_prunes_holds_the_masks_logs_and_goes_on_from_a_checkpoint(tmp_path):
    def build() -> tuple[Model, MagnitudePruner]:
        model = Model()
        return model, MagnitudePruner(model, LinearSchedule(final=0.8, epochs=4))

    model, pruner = build()
    trainer = fit(model, ModuliCallback(model.moduli, pruner), folder=tmp_path, epochs=4, save_strategy="epoch")
    assert pruner.sparsity()["total"] == pytest.approx(0.8, abs=0.01)
    for name, mask in pruner.masks().items():
        assert not model.get_parameter(name)[~mask].any()
    logs = [entry for entry in trainer.state.log_history if "loss" in entry]
    assert all(entry["moduli_penalty"] > 0 for entry in logs)
    assert logs[0]["sparsity"] == 0
    assert logs[-1]["sparsity"] == pruner.sparsity()["total"]

    again, other = build()
    fit(again, ModuliCallback(again.moduli, other), folder=tmp_path, epochs=5, resume=True, save_strategy="epoch")
    assert other.sparsity() == pruner.sparsity()
    assert not torch.equal(again.moduli.points, model.moduli.points)
    assert (again.moduli.points - model.moduli.points).abs().max() < 0.2


@pytest.mark.parametrize("clip", [0.0, 0.05])
def test_a_strength_holds_its_share_of_the_task_s_gradient_as_it_was_clipped(clip, tmp_path):
    model = Model()
    strength = AutoStrength(model.moduli, 0.1, every=1, memory=1)
    norms = []

    class Watch(TrainerCallback):
        def on_pre_optimizer_step(self, args, state, control, **kwargs):
            weight = model.rnn.weight_hh_l0
            (pull,) = torch.autograd.grad(strength(), [weight])
            norms.append((weight.grad.norm().item(), pull.norm().item()))

    # Before the callback it sees the task's gradient alone, and the penalty's as the last step left its strength.
    trainer = fit(model, Watch(), ModuliCallback(model.moduli, strength=strength), folder=tmp_path, max_grad_norm=clip)
    task, penalty = torch.tensor(norms).T
    assert 0.5 < (penalty[1:] / task[:-1]).median() / 0.1 < 2
    assert trainer.state.log_history[0]["moduli_strength"] > 0


def test_a_strength_goes_on_from_a_checkpoint_with_the_same_bits(tmp_path):
    def run(folder, epochs: int, resume: bool = False) -> dict[str, Tensor]:
        model = Model()
        callback = ModuliCallback(model.moduli, strength="auto")
        fit(model, callback, folder=folder, epochs=epochs, resume=resume, save_strategy="epoch")
        assert callback.strength is not None
        return callback.strength.state_dict()

    whole = run(tmp_path / "whole", 4)
    run(tmp_path / "half", 2)
    assert run(tmp_path / "half", 4, resume=True) == whole
    assert whole["factor"] > 0


class Configuration(PretrainedConfig):
    model_type = "riemod-test"


class Pretrained(PreTrainedModel):
    config_class = Configuration

    def __init__(self, config: Configuration) -> None:
        super().__init__(config)
        self.rnn, self.readout = nn.RNN(1, 8), nn.Linear(8, 1)
        self.post_init()

    def forward(self, inputs: Tensor) -> Tensor:
        return self.readout(self.rnn(inputs)[0][-1])


@pytest.mark.parametrize("mend", ["zeros", "file"])
def test_masks_of_a_pretrained_model_come_back(mend, tmp_path):
    model = Pretrained(Configuration())
    pruner = MagnitudePruner(model)
    pruner.prune(0.8)
    model.save_pretrained(tmp_path)
    loaded = Pretrained.from_pretrained(tmp_path)
    if mend == "zeros":
        masks_from_zeros(loaded)
    else:
        restore_masks(loaded, load_file(tmp_path / "model.safetensors"))
    optimizer = riemannian_adam(loaded, lr=0.1)
    loaded(torch.ones(3, 2, 1)).sum().backward()
    optimizer.step()
    assert MagnitudePruner(loaded).sparsity() == pruner.sparsity()
    for name, mask in pruner.masks().items():
        assert torch.equal(loaded.get_parameter(name) != 0, mask)


def test_bad_input_is_named():
    with pytest.raises(ValueError, match="moduli or pruner must be given, got None for both"):
        ModuliCallback()
    with pytest.raises(TypeError, match="moduli must be a ModuliRegularizer, got RNN"):
        ModuliCallback(nn.RNN(2, 2))
    with pytest.raises(ValueError, match="strength must be an AutoStrength of moduli"):
        ModuliCallback(Model().moduli, strength=AutoStrength(Model().moduli))


def test_gradients_that_stay_scaled_are_refused(tmp_path):
    from types import SimpleNamespace

    callback = ModuliCallback(Model().moduli)
    arguments = SimpleNamespace(fp16=True, max_grad_norm=0.0)
    with pytest.raises(ValueError, match=r"max_grad_norm must be > 0 with fp16=True, got 0\.0"):
        callback.on_train_begin(arguments, None, None)
