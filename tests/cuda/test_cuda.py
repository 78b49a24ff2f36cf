"""What riemod does on a CUDA device: the CPU's numbers, and no wait for the host within an epoch.

`make gpu` runs these; `make gpu DRY=1` runs them with the CPU in the GPU's place.
"""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest
import torch
from torch import Tensor, nn

import riemod
from riemod import AutoStrength, Coactivity, MagnitudePruner, ModuliRegularizer, PointEvidence, moduli_penalty
from riemod.manifolds import Torus
from riemod.masks import attach_masks
from riemod.optim import riemannian_adam
from riemod.pruning import semi_structured_mask, semi_structured_weight
from riemod.training.gradients import Capture, Outputs, Replayed
from tests.regularization.formulas import MANIFOLDS, SMOOTH
from tests.strategies import generator

DEVICE = os.environ.get("RIEMOD_GPU_TESTS", "cuda")
pytestmark = [
    pytest.mark.cuda,
    pytest.mark.skipif(DEVICE == "cuda" and not torch.cuda.is_available(), reason="there is no CUDA device"),
]


@contextmanager
def no_waiting() -> Iterator[None]:
    """Make every wait for the GPU an error inside the context."""
    if DEVICE != "cuda":
        yield
        return
    before = torch.cuda.get_sync_debug_mode()
    torch.cuda.set_sync_debug_mode("error")
    try:
        yield
    finally:
        torch.cuda.set_sync_debug_mode(before)


def on(device: str, name: str, n: int) -> tuple[Tensor, ...]:
    """Return the penalty and its gradients on a device, on the CPU."""
    manifold = MANIFOLDS[name]().to(device)
    points = MANIFOLDS[name]().sample(n, generator=generator(0), dtype=torch.float32).to(device).requires_grad_()
    weight = torch.randn(n, n, generator=generator(1)).to(device).requires_grad_()
    value = moduli_penalty(weight, points, manifold, SMOOTH["dog"])
    return tuple(result.cpu() for result in (value.detach(), *torch.autograd.grad(value, [weight, points])))


@pytest.mark.parametrize("name", MANIFOLDS)
@pytest.mark.parametrize("n", [60, 300])
def test_the_penalty_is_the_cpu_s(name, n):
    """60 neurons are too few for a kernel."""
    if n == 300 and name not in ("torus", "poincare"):
        pytest.skip("two kernels of Triton's are enough")
    for found, expected in zip(on(DEVICE, name, n), on("cpu", name, n), strict=True):
        assert (found - expected).norm() <= 1e-5 * expected.norm()


class Net(nn.Module):
    """A recurrent net with a decoder."""

    def __init__(self, n: int) -> None:
        super().__init__()
        self.rnn, self.decoder = nn.RNN(2, n), nn.Linear(n, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.decoder(self.rnn(x)[0])


def test_an_epoch_waits_for_no_number():
    torch.manual_seed(0)
    net = Net(160)
    moduli = ModuliRegularizer(net.rnn, Torus(2), learn=True, generator=generator(0))
    evidence = PointEvidence(moduli, Coactivity(), every=2)
    penalty = AutoStrength(moduli, every=2)
    pruner = MagnitudePruner(net)
    pruner.prune(0.5)
    both = nn.ModuleList([net, moduli, evidence, penalty]).to(DEVICE)
    optimizer = riemannian_adam(both, moduli, lr=1e-3)
    attach_masks(optimizer, net)
    x = torch.randn(5, 4, 2, device=DEVICE)

    def step() -> None:
        optimizer.zero_grad()
        (net(x).square().mean() + penalty() + evidence()).backward()
        penalty.update()
        optimizer.step()

    moduli.start_epoch(0)
    before = moduli.points.detach().clone()
    with evidence.observing():
        # Compiled, and the optimizer's state made.
        for _ in range(3):
            step()
        with no_waiting():
            for _ in range(10):
                step()
    moduli.start_epoch(1)
    assert bool(torch.isfinite(moduli.points).all())
    assert not torch.equal(moduli.points, before)
    assert int(net.rnn.get_parameter("weight_hh_l0").count_nonzero()) <= 0.6 * 160**2


def computed_again(parameters: list[Tensor]) -> Capture:
    """Stand for a CUDA graph on a CPU."""

    def capture(function: Callable[[], Outputs]) -> tuple[Outputs, Callable[[], object]]:
        outputs = function()
        memory = [*outputs, *(parameter.grad for parameter in parameters)]

        def replay() -> None:
            for own, new in zip(memory, [*function(), *(parameter.grad for parameter in parameters)], strict=True):
                own.copy_(new)

        return outputs, replay

    return capture


def trained(replay: bool) -> tuple[nn.Module, ModuliRegularizer, list[Tensor]]:
    """Return a net and its regularizer after eight steps, with the losses of these."""
    torch.manual_seed(0)
    net = Net(160)
    moduli = ModuliRegularizer(net.rnn, Torus(2), learn=True, generator=generator(0))
    MagnitudePruner(net).prune(0.5)
    both = nn.ModuleList([net, moduli]).to(DEVICE)
    optimizer = riemannian_adam(both, moduli, lr=1e-3)
    attach_masks(optimizer, net)

    def compute(batch: tuple[Tensor, ...]) -> Outputs:
        loss, penalty = net(batch[0]).square().mean(), moduli()
        optimizer.zero_grad()
        (loss + penalty).backward()
        return loss.detach(), penalty.detach()

    parameters: list[Tensor] = [*both.parameters()]
    capture = None if DEVICE == "cuda" else computed_again(parameters)
    gradients = Replayed(compute, parameters, capture) if replay else compute
    losses = []
    for step in range(8):
        losses.append(gradients((torch.randn(5, 4, 2, generator=generator(step)).to(DEVICE),))[0].clone())
        optimizer.step()
    return net, moduli, losses


def test_a_cuda_graph_gives_the_usual_steps():
    (net, moduli, losses), (other, others, again) = trained(replay=True), trained(replay=False)
    torch.testing.assert_close(torch.stack(losses), torch.stack(again), rtol=1e-4, atol=1e-6)
    for found, expected in zip(net.parameters(), other.parameters(), strict=True):
        torch.testing.assert_close(found, expected, rtol=1e-3, atol=1e-4)
    torch.testing.assert_close(moduli.points, others.points, rtol=1e-3, atol=1e-4)


def test_points_that_are_off_make_the_penalty_nan_or_an_error():
    points = torch.full((20, 2), 11.0, device=DEVICE)
    weight = torch.ones(20, 20, device=DEVICE)
    if DEVICE == "cpu":
        with pytest.raises(ValueError, match="must lie on"):
            moduli_penalty(weight, points, Torus(2), SMOOTH["dog"])
    else:
        with no_waiting():
            value = moduli_penalty(weight, points, Torus(2), SMOOTH["dog"])
        assert bool(value.isnan())


@pytest.mark.parametrize("layout", ["csr", "block16"])
@pytest.mark.parametrize("sparsity", [0.9, 0.98])
def test_a_compressed_layer_gives_the_dense_one_s_states(sparsity, layout):
    torch.manual_seed(0)
    layer = nn.RNN(2, 128, nonlinearity="relu").to(DEVICE)
    MagnitudePruner(layer, targets=["weight_hh_l0"]).prune(sparsity)
    x = torch.randn(6, 4, 2, device=DEVICE)
    small = riemod.sparse.compress(layer, layout)
    with torch.no_grad():
        torch.testing.assert_close(small(x)[0], layer(x)[0], rtol=1e-4, atol=1e-5)


def test_a_2_4_product_is_the_dense_one_s():
    weight = torch.randn(128, 128, device=DEVICE).half()
    weight *= semi_structured_mask(weight)
    if DEVICE == "cpu":
        with pytest.raises(ValueError, match="must be on a CUDA device"):
            semi_structured_weight(weight)
        return
    x = torch.randn(16, 128, device=DEVICE).half()
    found = nn.functional.linear(x, semi_structured_weight(weight))
    torch.testing.assert_close(found, nn.functional.linear(x, weight), rtol=1e-2, atol=1e-2)
