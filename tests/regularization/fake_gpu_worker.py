"""Run by test_fake_gpu.py: calls on fake tensors of a GPU, which raise where a number is read or two devices meet.

Without a GPU, torch cannot differentiate fake tensors on "cuda". There a device of another name stands for it: all that
riemod asks of a device is whether it is the CPU.
"""

import itertools
from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode

from riemod import (
    AutoStrength,
    Coactivity,
    MagnitudePruner,
    ModuliRegularizer,
    PointEvidence,
    inhibitors,
    moduli_penalty,
)
from riemod.coactivity import RING, coactivity_energy
from riemod.evidence import DecoderCosine, incoming_cosine
from riemod.manifolds import PoincareBall, Torus
from riemod.masks import attach_masks
from riemod.regularization import evidence_energy
from tests.regularization.formulas import MANIFOLDS, SMOOTH
from tests.strategies import generator

N = 24
SIGNED = inhibitors.Signed(inhibitors.Gaussian(), inhibitors.Crowding())


def gpu() -> str:
    """Return "cuda" where there is one, or else the name of a device that is set up to do nothing."""
    if torch.cuda.is_available():
        return "cuda"
    from torch.utils import backend_registration

    class Backend(backend_registration._DummyBackendModule):
        def get_amp_supported_dtype(self) -> list[torch.dtype]:
            return [torch.bfloat16, torch.float16]

    backend_registration._setup_privateuseone_for_python_backend("gpu", backend_module=Backend())
    return "gpu"


# Collecting doctests imports this file, and a device, once set up, stays with the process.
GPU = gpu() if __name__ == "__main__" else "cuda"


def move(module: nn.Module, mode: FakeTensorMode) -> None:
    """Replace parameters and buffers by fake ones on the GPU."""
    moved: dict[int, nn.Parameter] = {}
    for part in module.modules():
        for name, parameter in part.named_parameters(recurse=False, remove_duplicate=False):
            if id(parameter) not in moved:
                fake = mode.from_tensor(parameter.detach().clone()).to(GPU)
                moved[id(parameter)] = nn.Parameter(fake, parameter.requires_grad)
            setattr(part, name, moved[id(parameter)])
        for name, buffer in part.named_buffers(recurse=False):
            part._buffers[name] = mode.from_tensor(buffer).to(GPU)


def differentiated(value: Tensor, *leaves: Tensor) -> None:
    assert (value.device.type, value.ndim) == (GPU, 0)
    for leaf, slope in zip(leaves, torch.autograd.grad(value, leaves), strict=True):
        assert (slope.shape, slope.device) == (leaf.shape, leaf.device)


def penalty(mode: FakeTensorMode) -> None:
    laws = {"dog": SMOOTH["dog"], "sinusoid": SMOOTH["sinusoid"], "signed": SIGNED}
    for make in MANIFOLDS.values():
        manifold = make()
        move(manifold, mode)
        for law, columns in itertools.product(laws.values(), (None, N + 2)):
            with mode:
                points = torch.rand(N, manifold.coordinate_dim, device=GPU, requires_grad=True)
                weight = torch.randn(N, columns or N, device=GPU, requires_grad=True)
                others = [torch.rand(N + 2, manifold.coordinate_dim, device=GPU, requires_grad=True)] if columns else []
                value = moduli_penalty(weight, points, manifold, law, source_points=others[0] if columns else None)
                differentiated(value, weight, points, *others)


def energies(mode: FakeTensorMode) -> None:
    law = RING.on(Torus(2))
    with mode:
        points, matrix = torch.rand(N, 2, device=GPU, requires_grad=True), torch.randn(N, N, device=GPU)
        differentiated(evidence_energy(points, matrix, Torus(2), SIGNED), points)
        differentiated(coactivity_energy(points, matrix, Torus(2), law), points)


class Net(nn.Module):
    """A recurrent net with a decoder."""

    def __init__(self) -> None:
        super().__init__()
        self.rnn, self.decoder = nn.RNN(2, N), nn.Linear(N, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.decoder(self.rnn(x)[0])


def steps(net: nn.Module, loss: Callable[[], Tensor], count: int = 3) -> None:
    optimizer = torch.optim.AdamW(net.parameters(), lr=1e-3)
    for _ in range(count):
        optimizer.zero_grad()
        loss().backward()
        optimizer.step()


def regularizer(mode: FakeTensorMode) -> None:
    nets = [
        (net, ModuliRegularizer(net.rnn, space, generator=generator(0), **options))
        for space, options in [
            (Torus(2), {"learn": True}),
            (Torus(2), {"learn": True, "refresh_every": 2}),
            (PoincareBall(2, learn_curvature=True), {"learn": True}),
            (Torus(2), {}),
            (Torus(2), {"inhibitor": SIGNED}),
        ]
        for net in [Net()]
    ]
    for net, moduli in nets:
        both = nn.ModuleList([net, moduli])
        move(both, mode)
        # The optimizer writes to the points in each step, so that they are checked anew.
        with mode:
            steps(both, lambda net=net, moduli=moduli: net(torch.randn(4, 2, 2, device=GPU)).square().mean() + moduli())


def evidence(mode: FakeTensorMode) -> None:
    for source in (incoming_cosine, Coactivity(), [Coactivity(), incoming_cosine], "decoder"):
        net = Net()
        moduli = ModuliRegularizer(net.rnn, Torus(2), learn=True, generator=generator(0))
        points = PointEvidence(moduli, DecoderCosine(net.decoder) if source == "decoder" else source, every=1)
        both = nn.ModuleList([net, moduli, points])
        move(both, mode)

        def loss(net: nn.Module = net, moduli: nn.Module = moduli, points: nn.Module = points) -> Tensor:
            return net(torch.randn(4, 2, 2, device=GPU)).square().mean() + moduli() + points()

        with mode, points.observing():
            steps(both, loss)


def strength(mode: FakeTensorMode) -> None:
    for learn in (True, False):
        net = Net()
        moduli = ModuliRegularizer(net.rnn, Torus(2), learn=learn, generator=generator(0))
        penalty = AutoStrength(moduli, every=2)
        both = nn.ModuleList([net, moduli, penalty])
        move(both, mode)
        with mode:
            optimizer = torch.optim.AdamW(both.parameters(), lr=1e-3)
            for _ in range(4):
                optimizer.zero_grad()
                (net(torch.randn(4, 2, 2, device=GPU)).square().mean() + penalty()).backward()
                penalty.update()
                optimizer.step()


def masks(mode: FakeTensorMode) -> None:
    net = Net()
    pruner = MagnitudePruner(net)
    pruner.prune(0.5)
    move(net, mode)
    optimizer = torch.optim.AdamW(net.parameters(), lr=1e-3)
    attach_masks(optimizer, net)
    with mode:
        for _ in range(3):
            optimizer.zero_grad()
            net(torch.randn(4, 2, 2, device=GPU)).square().mean().backward()
            pruner.mask_gradients()
            optimizer.step()


if __name__ == "__main__":
    for part in (penalty, energies, regularizer, evidence, strength, masks):
        part(FakeTensorMode())
