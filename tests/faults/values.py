"""Valid values of the types that the public API takes, made anew at each call."""

import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from riemod import alignment, dynamics, manifolds, pruning, recordings, regularization, sparse, tasks, training, tuning

Maker = Callable[[], Any]

TORUS = manifolds.Torus(2)


def generator() -> torch.Generator:
    return torch.Generator().manual_seed(0)


def tensor(*shape: int) -> torch.Tensor:
    return torch.randn(*shape, generator=generator())


def array(*shape: int) -> np.ndarray:
    return tensor(*shape).double().numpy()


def points(count: int = 6) -> torch.Tensor:
    return TORUS.sample(count, generator=generator())


def distances(count: int = 6) -> np.ndarray:
    return alignment.distance_matrix(array(count, 3))


def net() -> nn.Module:
    torch.manual_seed(0)
    return nn.LSTM(3, 6)


def masked(model: nn.Module | None = None) -> nn.Module:
    model = net() if model is None else model
    pruning.MagnitudePruner(model).prune(0.5)
    return model


def moduli(**options: Any) -> regularization.ModuliRegularizer:
    return regularization.ModuliRegularizer(net(), TORUS, generator=generator(), **options)


def correlations() -> torch.Tensor:
    return torch.corrcoef(tensor(6, 20))


def maps() -> tuning.RateMaps:
    bins = tuning.regular_bins(TORUS, 6)
    return tuning.rate_maps(np.abs(array(4000, 2)), TORUS.sample(4000, generator=generator()), bins, smoothing=1.0)


def recording() -> recordings.Recording:
    return recordings.simulate.head_direction_cells(3, 0.5, generator=generator())


def binned() -> recordings.Binned:
    return recordings.bin_activity(recording())


def recording_file() -> Path:
    """Spike counts in a file."""
    path = Path(tempfile.mkdtemp(prefix="riemod-faults-")) / "counts.npz"
    np.savez(path, counts=np.arange(40).reshape(20, 2), seconds=0.1)
    return path


def step() -> dynamics.Step:
    return dynamics.recurrent_map(nn.RNN(3, 6))


def file() -> Path:
    """A compressed net in a file."""
    path = Path(tempfile.mkdtemp(prefix="riemod-faults-")) / "net.safetensors"
    sparse.save(sparse.compress(masked(), "csr"), path)
    return path


def new_file() -> Path:
    return Path(tempfile.mkdtemp(prefix="riemod-faults-")) / "new"


def description() -> training.RunDescription:
    config = tasks.Adding.presets["smoke"]
    small = {"hidden_size": 6, "steps": 4, "batch_size": 8, "epochs": 1, "batches_per_epoch": 1, "tail_epochs": 0}
    return training.RunDescription("adding", config.replace(**small, dense_epochs=0, evaluation_batches=1), None)


def run() -> training.Run:
    """A run before its first epoch."""
    return training.start(training.RunFolder(new_file()), description())


def finished() -> training.Run:
    done = run()
    training.train(done)
    return done
