"""Third-party optimizers and wrappers: pruned weights stay zero under each of them, through two prunings."""

import copy
import importlib
import importlib.util
import logging
import pickle
import re
import warnings
from collections.abc import Callable, Iterable
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.optim.swa_utils import AveragedModel, get_ema_avg_fn, get_ema_multi_avg_fn

from riemod.masks import attach_masks, masked_average, masked_parameters, sync_average
from riemod.optim import riemannian_adam
from riemod.pruning import MagnitudePruner
from tests.faults.tally import Tally, riemod_file

STEPS = 20
Parameters = Iterable[nn.Parameter]
Attempt = Callable[[], str | None]


class Net(nn.Module):
    """Reads the last state of an LSTM out."""

    def __init__(self, hidden: int = 64) -> None:
        super().__init__()
        self.rnn = nn.LSTM(8, hidden)
        self.readout = nn.Linear(hidden, 8)

    def forward(self, sequence: Tensor) -> Tensor:
        return self.readout(self.rnn(sequence)[0][-1])


def _loss(net: nn.Module) -> Tensor:
    sequence = torch.randn(5, 16, 8)
    return (net(sequence) - sequence.sum(0)).square().mean()


def _named(module: str, name: str, **options: Any) -> Callable[[Parameters], Optimizer]:
    def build(parameters: Parameters) -> Optimizer:
        return getattr(importlib.import_module(module), name)(parameters, **options)

    return build


def _lookahead(parameters: Parameters) -> Optimizer:
    from pytorch_optimizer import Lookahead

    return Lookahead(torch.optim.Adam(parameters, lr=1e-3))


def _muon(parameters: Parameters) -> Optimizer:
    from pytorch_optimizer import Muon

    parameters = list(parameters)
    groups = [
        {"params": [parameter for parameter in parameters if parameter.dim() >= 2], "use_muon": True},
        {"params": [parameter for parameter in parameters if parameter.dim() < 2], "use_muon": False},
    ]
    return Muon(groups, lr=1e-2)


def _accelerated(parameters: Parameters) -> Optimizer:
    from accelerate import Accelerator

    return Accelerator(cpu=True).prepare_optimizer(torch.optim.AdamW(parameters, lr=1e-3), device_placement=False)


THEIRS = "pytorch_optimizer"
# Its torch.einsum makes arrays of (rows columns)^2 unless opt_einsum is installed.
SMALL = {"Kron": 12}
# min_8bit_size: smaller tensors have a state of 32 bits.
OPTIMIZERS: dict[str, Callable[[Parameters], Optimizer]] = {
    "bitsandbytes AdamW8bit": _named("bitsandbytes.optim", "AdamW8bit", lr=1e-3, min_8bit_size=64),
    "bitsandbytes Lion8bit": _named("bitsandbytes.optim", "Lion8bit", lr=1e-4, min_8bit_size=64),
    "bitsandbytes SGD8bit": _named("bitsandbytes.optim", "SGD8bit", lr=1e-2, momentum=0.9, min_8bit_size=64),
    "bitsandbytes RMSprop8bit": _named("bitsandbytes.optim", "RMSprop8bit", lr=1e-3, min_8bit_size=64),
    "torchao AdamW8bit": _named("torchao.optim", "AdamW8bit", lr=1e-3),
    "torchao AdamW4bit": _named("torchao.optim", "AdamW4bit", lr=1e-3),
    "torchao AdamWFp8": _named("torchao.optim", "AdamWFp8", lr=1e-3),
    "SOAP": _named(THEIRS, "SOAP", lr=3e-3),
    "Shampoo": _named(THEIRS, "Shampoo", lr=1e-3),
    "ScalableShampoo": _named(THEIRS, "ScalableShampoo", lr=1e-3),
    "Kron": _named(THEIRS, "Kron", lr=1e-3),
    "Muon": _muon,
    "Lookahead": _lookahead,
    "Ranger": _named(THEIRS, "Ranger", lr=1e-3),
    "Ranger21": _named(THEIRS, "Ranger21", num_iterations=2 * STEPS, lr=1e-3),
    "Nero": _named(THEIRS, "Nero", lr=1e-3),
    "Lion": _named(THEIRS, "Lion", lr=1e-4),
    "Adan": _named(THEIRS, "Adan", lr=1e-3),
    "AdaFactor": _named(THEIRS, "AdaFactor", lr=1e-3),
    "Prodigy": _named(THEIRS, "Prodigy"),
    "CAME": _named(THEIRS, "CAME", lr=1e-3),
    "ScheduleFreeAdamW": _named(THEIRS, "ScheduleFreeAdamW", lr=1e-3),
    "LaProp": _named(THEIRS, "LaProp", lr=1e-3),
    "accelerate AcceleratedOptimizer": _accelerated,
}


def _pruned_are_zero(net: nn.Module) -> str | None:
    """Name a tensor whose pruned weights are not all 0, or whose weights are not finite."""
    masks = 0
    for name, parameter, mask in masked_parameters(net):
        masks += 1
        alive = int(parameter.detach()[~mask].count_nonzero())
        if alive:
            return f"{alive} of {int((~mask).sum())} pruned weights of {name} are not 0"
        if not bool(torch.isfinite(parameter).all()):
            return f"{name} holds NaN or infinity"
    return None if masks else "there are no masks"


def _optimizer(build: Callable[[Parameters], Optimizer], hidden: int = 64) -> str | None:
    net = Net(hidden)
    optimizer = build(net.parameters())
    # Schedule-free optimizers average only in their training mode.
    getattr(optimizer, "train", lambda: None)()
    pruner = MagnitudePruner(net)
    attach_masks(optimizer, net)
    first = float(_loss(net))
    for step in range(STEPS):
        if step in (STEPS // 4, STEPS // 2):
            pruner.prune(0.5 if step == STEPS // 4 else 0.9)
        problem = _steps(net, optimizer, 1)
        if problem is not None:
            return f"after step {step + 1}: {problem}"
    last = float(_loss(net))
    return None if last < 5 * first else f"the loss went from {first:.3g} to {last:.3g}"


def _steps(net: nn.Module, optimizer: Optimizer, steps: int = STEPS) -> str | None:
    for _ in range(steps):
        optimizer.zero_grad()
        loss = _loss(net)
        # Second-order optimizers, and those that look at the loss, say so by an error of their own.
        loss.backward()
        optimizer.step()
        if (problem := _pruned_are_zero(net)) is not None:
            return problem
    return None


def _ready(kind: Callable[[nn.Module], Optimizer] = riemannian_adam) -> tuple[Net, Optimizer, MagnitudePruner]:
    net = Net()
    optimizer = kind(net)
    _loss(net).backward()
    optimizer.step()
    pruner = MagnitudePruner(net)
    pruner.prune(0.9)
    return net, optimizer, pruner


def _attached(net: nn.Module) -> Optimizer:
    optimizer = torch.optim.AdamW(net.parameters(), lr=1e-3)
    attach_masks(optimizer, net)
    return optimizer


def _deep_copy() -> str | None:
    net, optimizer, _ = copy.deepcopy(_ready())
    return _steps(net, optimizer)


def _pickled() -> str | None:
    net, optimizer, _ = pickle.loads(pickle.dumps(_ready()))
    return _steps(net, optimizer)


def _deep_copy_of_torch_s() -> str | None:
    net, optimizer, _ = copy.deepcopy(_ready(_attached))
    return _steps(net, optimizer)


def _averaged(average_of: Callable[[nn.Module], AveragedModel]) -> str | None:
    """Average over two prunings as the documentation of `sync_average` says."""
    net, optimizer, pruner = _ready()
    average = average_of(net)
    for sparsity in (0.9, 0.95):
        pruner.prune(sparsity)
        for _ in range(STEPS // 2):
            if (problem := _steps(net, optimizer, 1)) is not None:
                return problem
            average.update_parameters(net)
    sync_average(average, net)
    return _pruned_are_zero(average.module)


def _scaled() -> str | None:
    net, optimizer, _ = _ready()
    scaler = torch.amp.GradScaler("cpu")
    for _ in range(STEPS):
        optimizer.zero_grad()
        scaler.scale(_loss(net)).backward()
        scaler.unscale_(optimizer)
        scaler.step(optimizer)
        scaler.update()
        if (problem := _pruned_are_zero(net)) is not None:
            return problem
    return None


def _reloaded() -> str | None:
    net, optimizer, _ = _ready()
    fresh = Net()
    pruner, own = MagnitudePruner(fresh), riemannian_adam(fresh)
    fresh.load_state_dict(net.state_dict())
    own.load_state_dict(optimizer.state_dict())
    problem = _steps(fresh, own)
    return problem or (None if pruner.sparsity()["total"] > 0.89 else "the masks were lost")


WRAPPERS: dict[str, Attempt] = {
    "deepcopy of net, riemannian_adam and pruner": _deep_copy,
    "pickle of net, riemannian_adam and pruner": _pickled,
    "deepcopy of net and an attached AdamW": _deep_copy_of_torch_s,
    "AveragedModel": lambda: _averaged(AveragedModel),
    "AveragedModel(use_buffers=True)": lambda: _averaged(
        lambda net: AveragedModel(net, use_buffers=True, avg_fn=masked_average())
    ),
    "AveragedModel with an exponential average": lambda: _averaged(
        lambda net: AveragedModel(net, multi_avg_fn=get_ema_multi_avg_fn(0.9))
    ),
    "AveragedModel with an exponential average of buffers": lambda: _averaged(
        lambda net: AveragedModel(net, use_buffers=True, avg_fn=masked_average(get_ema_avg_fn(0.9)))
    ),
    "GradScaler": _scaled,
    "state dicts into a fresh net": _reloaded,
}


def run(count: int = 24, seed: int = 0, only: str = "") -> Tally:
    """Take 20 steps under `count` optimizers, and as many under every wrapper; pruned weights are 0 after each.

    Args:
        count: how many optimizers, from the first one on.
        seed: of weights and data.
        only: a regular expression that the names must match from their start.
    """
    tally = Tally("optimizers")
    attempts: dict[str, Attempt] = {
        name: partial(_optimizer, build, SMALL.get(name, 64)) for name, build in OPTIMIZERS.items()
    }
    chosen = [name for name in attempts if re.match(only, name)][:count]
    chosen += [name for name in WRAPPERS if re.match(only, name)]
    logging.disable(logging.WARNING)
    try:
        # torchao compiles its steps, which takes minutes and changes nothing here.
        with warnings.catch_warnings(), torch.compiler.set_stance("force_eager"):
            warnings.simplefilter("ignore")
            for name in chosen:
                _try(tally, name, (attempts | WRAPPERS)[name], seed)
    finally:
        logging.disable(logging.NOTSET)
    return tally


def _try(tally: Tally, name: str, attempt: Attempt, seed: int) -> None:
    library = {"bitsandbytes": "bitsandbytes", "torchao": "torchao", "accelerate": "accelerate"}.get(
        name.split()[0], THEIRS if name in OPTIMIZERS else "torch"
    )
    if importlib.util.find_spec(library) is None:
        tally.notes.append(f"{name} was not tried: {library} is not installed")
        return
    torch.manual_seed(seed)
    try:
        problem, file = attempt(), "riemod/masks/optimizers.py"
    except Exception as error:
        problem, file = f"{type(error).__name__}: {error}", riemod_file(error.__traceback__)
    tally.record(name, problem, file)
