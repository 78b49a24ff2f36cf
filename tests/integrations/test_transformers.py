"""The callback for Hugging Face's Trainer in the Trainer's own loop."""

from types import SimpleNamespace

import pytest
from torch import Tensor

pytest.importorskip("transformers")
pytest.importorskip("accelerate")
from transformers import Trainer, TrainingArguments

from riemod.integrations.transformers import ModuliCallback
from riemod.optim import riemannian_adam
from tests.integrations.loops import Net, check_pruned, check_trained_alike, check_went_on, data, pruner_of

# The Trainer warns of pinned memory and of the libraries that it finds.
pytestmark = pytest.mark.filterwarnings("ignore")


class Model(Net):
    def forward(self, inputs: Tensor, labels: Tensor) -> dict[str, Tensor]:
        outputs = self.outputs(inputs)
        return {"loss": self.loss(outputs, labels), "logits": outputs}


def fit(model: Model, *callbacks: ModuliCallback, folder, epochs: int = 3, resume: bool = False, **options) -> Trainer:
    arguments = TrainingArguments(
        output_dir=str(folder), num_train_epochs=epochs, per_device_train_batch_size=4, use_cpu=True, report_to="none",
        disable_tqdm=True, lr_scheduler_type="constant",
        **{"logging_steps": 2, "save_strategy": "no", "max_grad_norm": 0.0, **options},
    )  # fmt: skip
    rows = [{"inputs": x, "labels": y} for x, y in zip(*data(), strict=True)]
    optimizer = riemannian_adam(model, model.moduli, lr=1e-2)
    trainer = Trainer(model, arguments, train_dataset=rows, callbacks=list(callbacks), optimizers=(optimizer, None))
    trainer.train(resume_from_checkpoint=True if resume else None)
    return trainer


@pytest.mark.parametrize(
    "options", [{}, {"gradient_accumulation_steps": 3}, {"bf16": True}], ids=["plain", "accumulated", "bf16"]
)
def test_the_penalty_is_that_of_a_loss_that_includes_it(options, tmp_path):
    penalized, outside = Model(penalized=True), Model()
    fit(penalized, folder=tmp_path, **options)
    fit(outside, ModuliCallback(outside.moduli), folder=tmp_path, **options)
    check_trained_alike(outside, penalized)


def test_it_prunes_keeps_the_masks_logs_and_goes_on_from_a_checkpoint(tmp_path):
    model = Model()
    pruner = pruner_of(model)
    trainer = fit(model, ModuliCallback(model.moduli, pruner), folder=tmp_path, epochs=4, save_strategy="epoch")
    check_pruned(model, pruner)
    logs = [entry for entry in trainer.state.log_history if "loss" in entry]
    assert all(entry["moduli_penalty"] > 0 for entry in logs)
    assert logs[0]["sparsity"] == 0
    assert logs[-1]["sparsity"] == pruner.sparsity()["total"]

    again = Model()
    other = pruner_of(again)
    fit(again, ModuliCallback(again.moduli, other), folder=tmp_path, epochs=5, resume=True, save_strategy="epoch")
    check_went_on(again, other, model, pruner)


def test_gradients_that_stay_scaled_are_refused():
    callback = ModuliCallback(Model().moduli)
    arguments = SimpleNamespace(fp16=True, max_grad_norm=0.0)
    with pytest.raises(ValueError, match=r"max_grad_norm must be > 0 with fp16=True, got 0\.0"):
        callback.on_train_begin(arguments, None, None)
