"""Replayed gradients, with a tape of torch's operations in the place of a CUDA graph: it fixes the same things."""

import pytest
import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from riemod.training.gradients import Replayed, set_gradients
from riemod.training.loop import set_rates, start_epoch, train_step


class Tape(TorchDispatchMode):
    """Records every operation, and runs all of them again on the same memory, with the same Python numbers.

    A CPU's points are looked at in every call, so numbers may be read here; test_fake_gpu.py has it that none is there.
    """

    def __init__(self):
        super().__init__()
        self.calls = []

    def __torch_dispatch__(self, operation, types, args=(), kwargs=None):
        found = operation(*args, **(kwargs or {}))
        self.calls.append((operation, args, kwargs or {}, found))
        return found

    def replay(self):
        with torch.no_grad():
            for operation, args, kwargs, before in self.calls:
                for old, new in zip(tree_leaves(before), tree_leaves(operation(*args, **kwargs)), strict=True):
                    # A view, or an operation in place, has the memory that it had.
                    if isinstance(old, Tensor) and old.data_ptr() != new.data_ptr():
                        old.copy_(new)


def captured(function):
    """As `torch.cuda.graph` does, but the function also runs while it is captured; its outputs are spoiled here."""
    tape = Tape()
    with tape:
        outputs = function()
    for output in outputs:
        output.fill_(float("nan"))
    return outputs, tape.replay


def batches(run, count):
    return run.task.batches(torch.Generator().manual_seed(0), count)


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"learn": False},
        {"manifold": "none", "learn": False},
        {"law": "signed", "mean_cost": 0.5},
        {"strength": "auto"},
        {"proximal": True},
        {"max_grad_norm": 0.1, "optimizer": "sgd"},
        {"task": "navigation"},
    ],
    ids=str,
)
def test_replayed_steps_give_the_same_bits(tmp_path, begin, bits, same, changes):
    usual, replayed = (begin(tmp_path / name, **{"batches_per_epoch": 9, **changes}) for name in ("usual", "replayed"))
    trained = [parameter for group in replayed.optimizer.param_groups for parameter in group["params"]]
    ways = {
        id(usual): lambda batch: set_gradients(usual, batch),
        id(replayed): Replayed(lambda batch: set_gradients(replayed, batch), trained, captured),
    }
    rows = []
    for run in (usual, replayed):
        start_epoch(run)
        for step, batch in enumerate(batches(run, 9)):
            set_rates(run, step)
            rows.append(torch.stack(train_step(run, batch, ways[id(run)])))
    assert torch.equal(torch.stack(rows[:9]), torch.stack(rows[9:]))
    assert len({row[0].item() for row in rows[9:]}) == 9, "a replay must see its own batch"
    assert same(bits(usual), bits(replayed))


def linear():
    """A layer, and what sets its gradients from a batch of inputs and targets."""
    layer = nn.Linear(3, 2)

    def compute(batch):
        loss = (layer(batch[0]) - batch[1]).square().sum()
        layer.zero_grad()
        loss.backward()
        return loss.detach(), loss.new_zeros(())

    return layer, compute


def test_a_batch_of_another_shape_is_computed_as_usual():
    layer, compute = linear()
    replayed = Replayed(compute, layer.parameters(), captured)
    for size in (4, 4, 4, 4, 5, 4):
        batch = torch.randn(size, 3), torch.randn(size, 2)
        losses = replayed(batch)[0].clone()
        found = [parameter.grad.clone() for parameter in layer.parameters()]
        assert torch.equal(losses, compute(batch)[0])
        for one, parameter in zip(found, layer.parameters(), strict=True):
            assert torch.equal(one, parameter.grad)


def test_three_calls_are_computed_before_the_capture():
    layer, compute = linear()
    seen = []

    def capture(function):
        seen.append("capture")
        return captured(function)

    def counted(batch):
        seen.append("compute")
        return compute(batch)

    replayed = Replayed(counted, layer.parameters(), capture)
    for _ in range(6):
        replayed((torch.randn(4, 3), torch.randn(4, 2)))
    assert seen == ["compute"] * 3 + ["capture", "compute"]


def test_what_cannot_be_a_graph_is_refused(describe):
    with pytest.raises(ValueError, match="cuda_graph needs device='cuda', got device='cpu'"):
        describe(cuda_graph=True)
    with pytest.raises(ValueError, match="it needs evidence='weights', got 'coactivity'"):
        describe(cuda_graph=True, device="cuda", evidence="coactivity", law="signed")
    assert describe(cuda_graph=True, device="cuda:1").config.computation.cuda_graph
