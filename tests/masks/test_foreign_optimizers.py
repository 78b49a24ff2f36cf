"""Masks under optimizers of other libraries, and under those of torch that mix the entries of a parameter."""

import functools
import importlib
import warnings

import pytest
import torch
from torch import nn

from riemod.masks import attach_masks, masked_parameters
from riemod.pruning import MagnitudePruner
from tests.strategies import generator

# Some of them compile their steps. The filter is for what they say of themselves, their kernels and torch.
pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore")]

# Of pytorch_optimizer: the updates of these mix entries, average weights, or scale whole rows.
MIXING = {
    "SOAP": {"precondition_frequency": 2},
    "Shampoo": {"preconditioning_compute_steps": 2},
    "ScalableShampoo": {},
    "Kron": {},
    "Muon": {"use_muon": True},
    "AdaMuon": {"use_muon": True},
    "Ranger": {"k": 2},
    "Ranger21": {"num_iterations": 20},
    "Nero": {},
    "SCION": {},
    "GaLore": {},
    "LARS": {},
    "Lamb": {},
    "AdamP": {},
    "AdaFactor": {},
    "CAME": {},
    "SM3": {},
    "ScheduleFreeAdamW": {},
    "AdaBelief": {},
    "Lion": {},
    "Prodigy": {"lr": 1.0},
}
BITSANDBYTES = ("AdamW8bit", "Adam8bit", "AdamW32bit", "Lion8bit", "SGD8bit", "RMSprop8bit", "AdEMAMix8bit", "LAMB8bit")
TORCHAO = ("AdamW8bit", "AdamW4bit", "AdamWFp8")


class Net(nn.Module):
    """An LSTM of 64 -> 64 units with a readout: its gates have 4,096 entries or more, from which 8-bit states start."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.rnn, self.readout = nn.LSTM(64, 64), nn.Linear(64, 64)
        self.square = nn.RNN(64, 64)

    def forward(self, inputs):
        return self.readout(self.square(self.rnn(inputs)[0])[0][-1])


def library(name):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return pytest.importorskip(name)


def losses_of(model, optimizer, steps, start=0):
    losses = []
    for step in range(start, start + steps):

        def closure(step=step):
            optimizer.zero_grad()
            loss = (model(torch.randn(3, 8, 64, generator=generator(step))) - 1).square().mean()
            loss.backward()
            return loss

        losses.append(optimizer.step(closure).item())
    return losses


def survive(model, optimizer, early=3, late=12):
    """Train, prune to 0.9, train: real zeros stay where the masks are, and losses stay finite and small."""
    attach_masks(optimizer, model)
    first = losses_of(model, optimizer, early)
    pruner = MagnitudePruner(model)
    pruner.prune(0.9)
    second = losses_of(model, optimizer, late, start=early)
    pruned = torch.cat([parameter[~mask] for _, parameter, mask in masked_parameters(model)])
    total = sum(mask.numel() for mask in pruner.masks().values())
    assert len(pruned) == round(0.9 * total)
    assert not pruned.any()
    kept = torch.cat([parameter[mask] for _, parameter, mask in masked_parameters(model)])
    assert kept.ne(0).float().mean() > 0.9
    assert torch.tensor(first + second).isfinite().all()
    assert max(second) < 10 * first[0]


@pytest.mark.parametrize("name", MIXING)
def test_pytorch_optimizer(name):
    kind = getattr(library("pytorch_optimizer"), name)
    model = Net()
    options = {"lr": 1e-3, **MIXING[name]}
    parameters = list(model.parameters())
    if "use_muon" in options:
        wide = options.pop("use_muon")
        parameters = [
            {"params": [p for p in parameters if p.ndim >= 2], "use_muon": wide},
            {"params": [p for p in parameters if p.ndim < 2], "use_muon": False},
        ]
    optimizer = kind(parameters, **options)
    # A step of Kron takes half a minute here.
    survive(model, optimizer, *((1, 3) if name == "Kron" else ()))


@pytest.mark.parametrize("inner", [torch.optim.Adam, functools.partial(torch.optim.SGD, momentum=0.9)])
def test_lookahead(inner):
    kind = library("pytorch_optimizer").Lookahead
    model = Net()
    survive(model, kind(inner(model.parameters(), lr=1e-3), k=2))


def alternate(optimizer, name):
    """Call a schedule-free optimizer's `train` or `eval`, which move the weights between two averages."""
    getattr(optimizer, name, lambda: None)()


@pytest.mark.parametrize("kind", ["ScheduleFreeWrapper", "ScheduleFreeAdamW", "SAM", "accelerate"])
def test_wrappers_that_change_weights_outside_of_step(kind):
    library("pytorch_optimizer")
    import pytorch_optimizer

    model = Net()
    parameters = model.parameters()
    if kind == "accelerate":
        optimizer = library("accelerate").Accelerator(cpu=True).prepare(torch.optim.Adam(parameters, lr=1e-3))
    elif kind == "ScheduleFreeWrapper":
        optimizer = pytorch_optimizer.ScheduleFreeWrapper(torch.optim.AdamW(parameters, lr=1e-3))
    elif kind == "SAM":
        optimizer = pytorch_optimizer.SAM(parameters, torch.optim.SGD, lr=1e-3, momentum=0.9)
    else:
        optimizer = pytorch_optimizer.ScheduleFreeAdamW(parameters, lr=1e-3)
    attach_masks(optimizer, model)
    pruner = None
    for step in range(12):
        if step == 4:
            pruner = MagnitudePruner(model)
            pruner.prune(0.9)
        alternate(optimizer, "train")
        for half in ("first_step", "second_step") if kind == "SAM" else ("step",):
            (model(torch.randn(3, 8, 64, generator=generator(step))) - 1).square().mean().backward()
            getattr(optimizer, half)()
            optimizer.zero_grad()
        alternate(optimizer, "eval")
        if step >= 4:
            assert not torch.cat([parameter[~mask] for _, parameter, mask in masked_parameters(model)]).any()
    assert pruner.sparsity()["total"] == pytest.approx(0.9, abs=1e-4)


@pytest.mark.parametrize("name", BITSANDBYTES)
def test_bitsandbytes(name):
    kind = getattr(library("bitsandbytes").optim, name)
    model = Net()
    options = {"momentum": 0.9} if name.startswith("SGD") else {}
    survive(model, kind(model.parameters(), lr=1e-3, **options))


@pytest.mark.parametrize("name", TORCHAO)
def test_torchao(name):
    library("torchao")
    kind = getattr(importlib.import_module("torchao.optim"), name)
    model = Net()
    with torch.compiler.set_stance("force_eager"):
        survive(model, kind(model.parameters(), lr=1e-3))


@pytest.mark.parametrize("name", ["LBFGS", "Muon", "Adafactor"])
def test_optimizers_of_torch_that_mix_entries(name):
    if not hasattr(torch.optim, name):
        pytest.skip(f"this torch has no {name}")
    model = Net()
    wide = [parameter for parameter in model.parameters() if parameter.ndim == 2]
    options = {"lr": 0.1, "max_iter": 4, "history_size": 5} if name == "LBFGS" else {"lr": 1e-3}
    survive(model, getattr(torch.optim, name)(wide, **options))
