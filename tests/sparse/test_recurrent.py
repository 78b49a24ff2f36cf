"""Compressed layers against torch's own, in float64: padded, unbatched and packed sequences, and their gradients."""

import itertools
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import PackedSequence, pack_sequence

from riemod.sparse import compress
from tests.strategies import generator

LAYERS = [
    (kind, layers, bidirectional, batch_first, bias)
    for kind, layers, bidirectional, batch_first, bias in itertools.product(
        ("relu", "tanh", "gru", "lstm"), (1, 2), (False, True), (False, True), (False, True)
    )
]


def pruned_layer(kind: str, **options: Any) -> nn.RNNBase:
    classes: dict[str, Any] = {"gru": nn.GRU, "lstm": nn.LSTM}
    torch.manual_seed(0)
    if kind not in classes:
        options["nonlinearity"] = kind
    layer = classes.get(kind, nn.RNN)(3, 10, dtype=torch.float64, **options)
    for name, parameter in layer.named_parameters():
        if name.startswith("weight"):
            parameter.data *= torch.rand(parameter.shape, generator=generator(1)) < 0.3
    return layer


def assert_alike(first: Any, second: Any) -> None:
    assert type(first) is type(second)
    if isinstance(first, Tensor):
        torch.testing.assert_close(first, second)
        assert first.stride() == second.stride()
    elif first is not None:
        for one, other in zip(first, second, strict=True):
            assert_alike(one, other)


@pytest.mark.parametrize("layout", ["csr", "block4"])
@pytest.mark.parametrize(("kind", "layers", "bidirectional", "batch_first", "bias"), LAYERS)
def test_outputs_states_and_gradients_are_those_of_torch(
    kind: str, layers: int, bidirectional: bool, batch_first: bool, bias: bool, layout: str
):
    options = {"num_layers": layers, "bidirectional": bidirectional, "batch_first": batch_first, "bias": bias}
    layer = pruned_layer(kind, **options)
    compressed = compress(layer, layout)
    x = torch.randn(4, 4, 3, dtype=torch.float64, generator=generator(2))
    state = torch.randn(2, layers * (1 + bidirectional), 4, 10, dtype=torch.float64, generator=generator(3))
    first: Any = (state[0], state[1]) if kind == "lstm" else state[0]
    assert_alike(layer(x), compressed(x))
    assert_alike(layer(x, first), compressed(x, first))
    assert_alike(layer(x[0]), compressed(x[0]))
    packed = pack_sequence([x[row, :length] for row, length in enumerate((3, 1, 4, 1))], enforce_sorted=False)
    outputs = layer(packed, first), compressed(packed, first)
    assert_alike(*outputs)
    for output, _ in outputs:
        assert isinstance(output, PackedSequence)
        output.data.square().sum().backward()
    for name, parameter in layer.named_parameters():
        assert parameter.grad is not None
        if name.startswith("bias"):
            torch.testing.assert_close(compressed.get_parameter(name).grad, parameter.grad)
        else:
            matrix = compressed.get_submodule(name)
            expected = compress(_holding(parameter.grad, parameter != 0), layout).get_parameter("weight.values")
            torch.testing.assert_close(matrix.get_parameter("values").grad, expected.detach())


def _holding(gradient: Tensor, kept: Tensor) -> nn.Linear:
    """A linear layer with the gradient at kept weights as its weight: compressed, it is stored as the weight is."""
    layer = nn.Linear(gradient.shape[1], gradient.shape[0], bias=False, dtype=gradient.dtype)
    layer.weight.data = gradient * kept
    layer.register_buffer("weight_mask", kept.clone())
    return layer


def test_states_come_as_a_list_and_flat_weights_are_nothing_to_do():
    layer = pruned_layer("lstm")
    compressed: Any = compress(layer, "csr")
    compressed.flatten_parameters()
    x, state = torch.randn(4, 2, 3, dtype=torch.float64), torch.randn(2, 1, 2, 10, dtype=torch.float64)
    assert_alike(layer(x, [*state]), compressed(x, [*state]))
    assert_alike(layer(x[:, 0], [*state[:, :, 0]]), compressed(x[:, 0], [*state[:, :, 0]]))


@pytest.mark.parametrize("kind", ["relu", "tanh", "gru", "lstm"])
def test_a_sequence_without_steps_is_refused_as_torch_refuses_it(kind: str):
    layer = pruned_layer(kind, batch_first=True)
    compressed = compress(layer, "csr")
    for shape in ((2, 0, 3), (0, 3)):
        with pytest.raises(RuntimeError, match="sequence length"):
            layer(torch.zeros(shape, dtype=torch.float64))
        with pytest.raises(ValueError, match=rf"x must have at least one step, got shape \({shape[0]}, {shape[1]}"):
            compressed(torch.zeros(shape, dtype=torch.float64))
    empty = torch.zeros(0, 4, 3, dtype=torch.float64)
    assert_alike(layer(empty), compressed(empty))


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::torch.jit.TracerWarning")
@pytest.mark.parametrize("layout", ["csr"])
@pytest.mark.parametrize("kind", ["tanh", "gru", "lstm"])
def test_a_compressed_layer_can_be_traced_without_gradients(kind: str, layout: str):
    compressed = compress(pruned_layer(kind), layout).eval()
    x = torch.randn(4, 2, 3, dtype=torch.float64)
    with torch.no_grad():
        compressed(x)
        traced = torch.jit.trace(compressed, (x,))
        assert_alike(traced(x), compressed(x))
        assert_alike(traced(x + 1), compressed(x + 1))


def test_a_compressed_csr_layer_can_be_exported_without_gradients():
    compressed = compress(pruned_layer("lstm"), "csr").eval()
    x = torch.randn(4, 2, 3, dtype=torch.float64)
    with torch.no_grad():
        exported = torch.export.export(compressed, (x,)).module()
        assert_alike(exported(x + 1), compressed(x + 1))


def test_dropout_acts_between_layers_in_training_alone():
    layer = pruned_layer("tanh", num_layers=2, dropout=0.5)
    compressed = compress(layer, "csr")
    x = torch.randn(5, 2, 3, dtype=torch.float64)
    assert not torch.equal(compressed(x)[0], compressed(x)[0])
    torch.testing.assert_close(compressed.eval()(x)[0], layer.eval()(x)[0])


@pytest.mark.parametrize("kind", ["tanh", "lstm"])
def test_wrong_inputs_are_named(kind: str):
    compressed = compress(pruned_layer(kind), "csr")
    x = torch.zeros(2, 4, 3, dtype=torch.float64)
    with pytest.raises(ValueError, match="x must have 3 features"):
        compressed(x[..., :2])
    with pytest.raises(ValueError, match=r"x must have 3 features in its last dimension, got \(\)"):
        compressed(x.sum())
    with pytest.raises(ValueError, match="x must have 2 or 3 dimensions"):
        compressed(x[None])
    state = torch.zeros(1, 5, 10, dtype=torch.float64)
    with pytest.raises(ValueError, match="hx must hold"):
        compressed(x, (state, state) if kind == "lstm" else state)
    with pytest.raises(ValueError, match="hx must hold"):
        compressed(x, state[:, :4] if kind == "lstm" else (state[:, :4], state[:, :4]))


def test_a_linear_layer_takes_any_leading_dimensions():
    layer = nn.Linear(6, 4)
    layer.weight.data[:, ::2] = 0
    compressed = compress(layer, "csr")
    for shape in ((6,), (3, 6), (2, 3, 6), (0, 6)):
        x = torch.randn(shape)
        torch.testing.assert_close(compressed(x), layer(x))
    with pytest.raises(ValueError, match=r"x must have shape \(..., 6\)"):
        compressed(torch.zeros(2, 5))
