"""Compressing models: what is replaced, what is chosen, what is refused, and training what remains."""

import copy
import importlib
import logging
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import riemod
from riemod.masks import attach_masks, register_mask
from riemod.sparse import (
    BlockMatrix,
    CompressedLinear,
    CompressedRecurrent,
    CSRMatrix,
    DenseMatrix,
    Timing,
    compress,
    fastest,
    time_layouts,
)


class Net(nn.Module):
    """The navigation net's shape: an encoder of the first state, a recurrent layer and a decoder."""

    def __init__(self, hidden: int = 64) -> None:
        super().__init__()
        self.encoder = nn.Linear(8, hidden)
        self.rnn = nn.RNN(2, hidden, nonlinearity="relu")
        self.norm = nn.LayerNorm(hidden)
        self.decoder = nn.Linear(hidden, 5)

    def forward(self, x: Tensor, start: Tensor) -> Tensor:
        return self.decoder(self.norm(self.rnn(x, self.encoder(start)[None])[0]))


def pruned_net(sparsity: float = 0.9) -> tuple[Net, riemod.MagnitudePruner]:
    torch.manual_seed(0)
    net = Net()
    pruner = riemod.MagnitudePruner(net, scope="tensor")
    pruner.prune(sparsity)
    return net, pruner


def inputs(batch: int = 6) -> tuple[Tensor, Tensor]:
    return torch.randn(7, batch, 2), torch.randn(batch, 8)


@pytest.mark.parametrize("layout", ["auto", "dense", "csr", "block8", "block24", "block"])
def test_a_compressed_model_computes_the_same(layout: str):
    net, _ = pruned_net()
    before = copy.deepcopy(net.state_dict())
    x = inputs()
    torch.testing.assert_close(compress(net, layout, x)(*x), net(*x), rtol=1e-5, atol=1e-6)
    assert all(torch.equal(tensor, before[name]) for name, tensor in net.state_dict().items())


def test_every_layer_of_a_kind_is_replaced_and_others_are_not():
    compressed = compress(pruned_net()[0], "csr")
    assert isinstance(compressed, Net)
    assert isinstance(compressed.encoder, CompressedLinear)
    assert isinstance(compressed.rnn, CompressedRecurrent)
    assert isinstance(compressed.norm, nn.LayerNorm)
    assert isinstance(compressed.rnn.weight_hh_l0, CSRMatrix)
    assert compressed.rnn.weight_hh_l0.values.numel() == round(0.1 * 64 * 64)


def test_a_mapping_chooses_each_weight_and_leaves_the_rest_dense():
    net, _ = pruned_net()
    compressed: Any = compress(net, {"rnn.weight_hh_l0": "block16"})
    assert isinstance(compressed.rnn.weight_hh_l0, BlockMatrix)
    assert isinstance(compressed.rnn.weight_ih_l0, DenseMatrix)
    assert type(compressed.decoder) is nn.Linear


def test_blocks_without_a_size_store_the_least():
    layer = nn.Linear(128, 128, bias=False)
    mask = register_mask(layer, "weight")
    mask.zero_()
    mask[:32, 64:96] = True
    layer.weight.data *= mask
    compressed: Any = compress(layer, "block")
    assert compressed.weight.values.shape == (1, 32, 32)


def test_an_example_leaves_the_model_as_it_was():
    net = nn.Sequential(pruned(nn.Linear(4, 4)), nn.BatchNorm1d(4), nn.Dropout(0.5))
    x, state = torch.ones(3, 4), torch.get_rng_state()
    before = copy.deepcopy(net.state_dict())
    timings = time_layouts(net, x)
    assert {timing.name for timing in timings} >= {"0.weight"}
    assert all(torch.equal(tensor, before[name]) for name, tensor in net.state_dict().items())
    assert net.training
    assert not net[0]._forward_pre_hooks
    assert torch.equal(torch.get_rng_state(), state)


def test_auto_takes_what_its_timings_say(caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch):
    net, _ = pruned_net()
    timings = [
        Timing("rnn.weight_hh_l0", "dense", 2.0, 10),
        Timing("rnn.weight_hh_l0", "csr", 1.0, 10),
        Timing("rnn", "dense", 2.0, 10),
        Timing("rnn", "compressed", 1.0, 10),
        Timing("decoder.weight", "dense", 2.0, 10),
        Timing("decoder.weight", "csr", 1.0, 10),
        Timing("decoder", "dense", 1.0, 10),
        Timing("decoder", "compressed", 1.1, 10),
        Timing("encoder.weight", "dense", 1.0, 10),
        Timing("encoder.weight", "csr", 1.5, 10),
    ]
    assert fastest(timings) == {"rnn.weight_hh_l0": "csr", "decoder.weight": "dense", "encoder.weight": "dense"}
    # The function hides the module of the same name.
    monkeypatch.setattr(importlib.import_module("riemod.sparse.compress"), "time_layouts", lambda *_: timings)
    with caplog.at_level(logging.INFO):
        compressed: Any = compress(net)
    assert isinstance(compressed.rnn.weight_hh_l0, CSRMatrix)
    assert type(compressed.decoder) is type(compressed.encoder) is nn.Linear
    assert "decoder as compressed: 1.1e+03 ms" in caplog.text


def test_layouts_are_timed_for_every_pruned_weight_with_the_batch_of_the_example():
    net, _ = pruned_net(0.98)
    timings = time_layouts(net, inputs(batch=3))
    names = {timing.name for timing in timings}
    assert {"encoder.weight", "rnn.weight_ih_l0", "rnn.weight_hh_l0", "decoder.weight"} <= names
    assert all(timing.seconds > 0 and timing.bytes > 0 for timing in timings)
    hidden = {timing.layout: timing.bytes for timing in timings if timing.name == "rnn.weight_hh_l0"}
    assert {"dense", "csr"} <= hidden.keys()
    assert hidden["dense"] == 4 * 64 * 64
    assert hidden["csr"] == 8 * round(0.02 * 64 * 64) + 4 * 65


def test_a_model_without_zeros_stays_dense_and_says_what_it_would_lose():
    net = Net()
    with pytest.warns(UserWarning, match=r"has no weight that is 0, .* would take \d+\.\d times as long"):
        compressed = compress(net, "csr")
    assert type(compressed.get_submodule("rnn")) is nn.RNN
    assert compressed is not net


def test_a_kept_weight_of_zero_stays_trainable():
    layer = nn.Linear(4, 4, bias=False)
    mask = register_mask(layer, "weight")
    mask[0] = False
    layer.weight.data.zero_()
    compressed: Any = compress(layer, "csr")
    compressed(torch.ones(1, 4)).sum().backward()
    assert compressed.weight.values.shape == (12,)
    assert (compressed.weight.values.grad == 1).all()


@pytest.mark.parametrize("layout", ["csr", "block16", {"rnn.weight_hh_l0": "csr"}], ids=str)
def test_training_a_compressed_ticket_is_training_the_masked_one(layout: Any):
    net: Any = pruned_net()[0].double()
    compressed: Any = compress(net, layout)
    x, start, target = (torch.randn(shape).double() for shape in ((7, 6, 2), (6, 8), (7, 6, 5)))
    losses: list[list[float]] = []
    for model in (net, compressed):
        optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2)
        attach_masks(optimizer, model)
        losses.append([])
        for _ in range(10):
            loss = (model(x, start) - target).square().mean()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            losses[-1].append(loss.item())
    assert losses[0] == pytest.approx(losses[1], rel=1e-9)
    assert losses[0][-1] < losses[0][0]
    torch.testing.assert_close(compressed.rnn.weight_hh_l0.dense(), net.rnn.weight_hh_l0.detach())


def test_frozen_weights_and_the_mode_are_kept():
    net, _ = pruned_net()
    net.eval().rnn.weight_hh_l0.requires_grad_(False)
    compressed = compress(net, "csr")
    assert not compressed.get_parameter("rnn.weight_hh_l0.values").requires_grad
    assert not compressed.get_submodule("rnn").training


def test_a_layer_that_is_used_twice_is_one_layer_again():
    layer = nn.Linear(4, 4)
    layer.weight.data.fill_diagonal_(0)
    compressed: Any = compress(nn.Sequential(layer, nn.ReLU(), layer), "csr")
    assert compressed[0] is compressed[2]
    assert isinstance(compressed[0], CompressedLinear)


def test_a_weight_that_two_layers_share_is_left_alone():
    first, second, third = nn.Linear(4, 4), nn.Linear(4, 4), pruned(nn.Linear(4, 2))
    second.weight = first.weight
    first.weight.data.fill_diagonal_(0)
    compressed: Any = compress(nn.Sequential(first, second, third), "csr")
    assert compressed[1].weight is compressed[0].weight
    assert isinstance(compressed[2], CompressedLinear)


def test_wrong_requests_are_named():
    net, _ = pruned_net()
    with pytest.raises(TypeError, match="module must be"):
        compress("net")  # pyright: ignore[reportArgumentType]
    with pytest.raises(TypeError, match=r"module must hold a layer .*got ReLU"):
        compress(nn.ReLU())
    for layout in ("coo", "block0", "blocks", "autos"):
        with pytest.raises(ValueError, match=rf"layout must be .* got '{layout}'"):
            compress(net, layout)
    with pytest.raises(ValueError, match=r"layout must name weights .*got 'rnn\.weight'"):
        compress(net, {"rnn.weight": "csr"})
    with pytest.raises(ValueError, match=r"layout must be .* got 'auto'"):
        compress(net, {"rnn.weight_hh_l0": "auto"})


def test_weights_that_cannot_be_compressed_are_named():
    with pytest.raises(ValueError, match="proj_size=2"):
        compress(pruned(nn.LSTM(3, 4, proj_size=2)), "csr")
    convolution = nn.Sequential(pruned(nn.Linear(4, 4)), nn.Conv1d(1, 1, 3))
    register_mask(convolution[1], "weight")
    with pytest.raises(TypeError, match=r"module must have masks on .*got 1, a pruned Conv1d"):
        compress(convolution, "csr")
    nan = pruned(nn.Linear(4, 4))
    nan.weight.data[2, 2] = torch.nan
    with pytest.raises(ValueError, match="weight must be finite, got NaN"):
        compress(nan)
    unapplied = nn.Linear(4, 4)
    register_mask(unapplied, "weight")[0] = False
    with pytest.raises(ValueError, match="weight must be 0 where its mask is False"):
        compress(unapplied)
    misfit = nn.Linear(4, 4)
    misfit.register_buffer("weight_mask", torch.ones(4, 3, dtype=torch.bool))
    with pytest.raises(ValueError, match=r"mask of weight must be bool of shape \(4, 4\)"):
        compress(misfit)


def pruned(layer: nn.Module) -> Any:
    for name, parameter in layer.named_parameters():
        if name.startswith("weight"):
            parameter.data[0] = 0
    return layer
