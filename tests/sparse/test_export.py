"""Pruned and compressed layers leave torch: `torch.export`, ONNX, `torch.jit.trace`, and int8, with no word of grad."""

import warnings
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from riemod import MagnitudePruner
from riemod.sparse import compress

pytestmark = [
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::FutureWarning"),
    # Of torch's own layers and quantizer.
    pytest.mark.filterwarnings("ignore:The tensor attributes self:UserWarning"),
    pytest.mark.filterwarnings("ignore:torch.quantize_per_tensor:UserWarning"),
    pytest.mark.filterwarnings("ignore::torch.jit.TracerWarning"),
]
KINDS: dict[str, Callable[[], nn.RNNBase]] = {
    "tanh": lambda: nn.RNN(3, 40),
    "gru": lambda: nn.GRU(3, 40),
    "lstm": lambda: nn.LSTM(3, 40, batch_first=True),
}
LAYOUTS = ["pruned", "csr", "block16"]


def layer(kind: str, layout: str) -> nn.Module:
    """A layer that is 90 % sparse, as it is or compressed, ready to be trained further."""
    torch.manual_seed(0)
    found = KINDS[kind]()
    MagnitudePruner(found, targets=["weight_hh_l0"]).prune(0.9)
    return found if layout == "pruned" else compress(found, layout)


class Net(nn.Module):
    """A recurrent layer with a decoder, one tensor in and one out."""

    def __init__(self, kind: str, layout: str) -> None:
        super().__init__()
        self.recurrent, self.decoder = layer(kind, layout), nn.Linear(40, 2)

    def forward(self, x: Tensor) -> Tensor:
        return self.decoder(self.recurrent(x)[0])


def agree(found: Callable[[Tensor], Tensor], net: nn.Module, *shapes: tuple[int, int, int]) -> None:
    for seed, shape in enumerate(shapes):
        x = torch.randn(shape, generator=torch.Generator().manual_seed(seed))
        torch.testing.assert_close(found(x).detach(), net(x).detach(), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_layer_can_be_traced(kind, layout):
    net = Net(kind, layout).eval()
    # As many steps as the example has, for any number of sequences.
    other = (9, 5, 3) if kind == "lstm" else (5, 9, 3)
    agree(torch.jit.trace(net, (torch.randn(5, 5, 3),)), net, (5, 5, 3), other)


@pytest.mark.parametrize(("kind", "layout"), [("tanh", "pruned"), ("gru", "csr"), ("lstm", "block16")])
def test_a_layer_can_be_exported_with_any_number_of_sequences(kind, layout):
    net = Net(kind, layout).eval()
    batch = 0 if kind == "lstm" else 1
    shapes = ({batch: torch.export.Dim("batch", min=2, max=64)},)
    program = torch.export.export(net, (torch.randn(5, 5, 3),), dynamic_shapes=shapes, strict=False)
    other = (9, 5, 3) if batch == 0 else (5, 9, 3)
    agree(program.module(), net, (5, 5, 3), other)


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("layout", LAYOUTS)
def test_onnxruntime_gives_the_same_outputs(kind, layout, tmp_path: Path):
    onnxruntime = pytest.importorskip("onnxruntime")
    pytest.importorskip("onnxscript")
    net = Net(kind, layout).eval()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        program = torch.onnx.export(net, (torch.randn(5, 4, 3),), dynamo=True, verbose=False)
    assert program is not None
    program.save(str(tmp_path / "net.onnx"))
    session = onnxruntime.InferenceSession(str(tmp_path / "net.onnx"))
    name = session.get_inputs()[0].name
    agree(lambda x: torch.from_numpy(session.run(None, {name: x.numpy()})[0]), net, (5, 4, 3))


@pytest.mark.parametrize("layout", ["csr", "block16"])
def test_after_an_export_a_layer_can_be_trained_as_before(layout):
    net = Net("tanh", layout)
    x = torch.randn(5, 4, 3)
    expected = torch.autograd.grad(net(x).sum(), list(net.parameters()))
    torch.jit.trace(net.eval(), (x,))
    torch.export.export(net, (x,), strict=False)
    found = torch.autograd.grad(net.train()(x).sum(), list(net.parameters()))
    torch.testing.assert_close(found, expected)


def test_dynamic_quantization_keeps_zeros():
    net = nn.Sequential(nn.Linear(64, 32), nn.ReLU(), nn.Linear(32, 8))
    MagnitudePruner(net).prune(0.9)
    small = torch.ao.quantization.quantize_dynamic(net, {nn.Linear}, dtype=torch.qint8)
    for index in (0, 2):
        before, after = net[index].weight, small[index].weight().dequantize()
        assert bool((after[before == 0] == 0).all())
        assert float((after - before).detach().abs().max()) <= float(before.detach().abs().max()) / 127


def test_dynamic_quantization_of_a_pruned_lstm_keeps_zeros():
    net = nn.ModuleDict({"recurrent": layer("lstm", "pruned")})
    before = net["recurrent"].get_parameter("weight_hh_l0")
    small = torch.ao.quantization.quantize_dynamic(net, {nn.LSTM}, dtype=torch.qint8)
    after = small["recurrent"].get_weight()["weight_hh_l0"].dequantize()
    assert bool((after[before == 0] == 0).all())
    assert int((after != 0).sum()) > 0
