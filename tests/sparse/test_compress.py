"""Compressing models: what is replaced, what is chosen, what is refused, and training what remains."""

import copy
import gc
import importlib
import logging
import warnings
from collections.abc import Callable
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


@pytest.mark.filterwarnings("ignore:nothing was compressed:UserWarning")
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
    slower = [timing._replace(seconds=3.0) if timing.layout == "csr" else timing for timing in timings]
    monkeypatch.setattr(importlib.import_module("riemod.sparse.compress"), "time_layouts", lambda *_: slower)
    with pytest.warns(UserWarning, match=r"nothing was compressed, .* fastest dense .* encoder\.weight, rnn"):
        compressed = compress(net)
    assert type(compressed.rnn) is nn.RNN


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
    frozen = {"rnn.weight_hh_l0": "rnn.weight_hh_l0.values", "rnn.bias_ih_l0": "rnn.bias_ih_l0"}
    frozen |= {"decoder.weight": "decoder.weight.values", "decoder.bias": "decoder.bias"}
    for name in frozen:
        net.eval().get_parameter(name).requires_grad_(False)
    compressed = compress(net, "csr")
    is_frozen = {name for name, parameter in compressed.named_parameters() if not parameter.requires_grad}
    assert is_frozen == set(frozen.values())
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
    first.weight.data[:3] = 0
    with pytest.warns(UserWarning, match="[01] stays as it is, for it shares weight with another layer") as caught:
        compress(nn.Sequential(first, second, third), "csr")
    assert len(caught) == 2


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
    projecting = nn.LSTM(3, 4, proj_size=2)
    riemod.MagnitudePruner(projecting).prune(0.5)
    with pytest.raises(TypeError, match=r"module must hold a layer .* got LSTM; it projects .* proj_size=2"):
        compress(projecting, "csr")
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


class OwnCell(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.transition = nn.Parameter(torch.randn(4, 4))


class OwnLinear(nn.Linear):
    """A subclass, which may compute something else."""


def norm_of_old(layer: nn.Module) -> nn.Module:
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")
        return torch.nn.utils.weight_norm(layer)


UNSUPPORTED: dict[str, tuple[Callable[[], nn.Module], str]] = {
    "cell": (lambda: nn.GRUCell(4, 4), "is a GRUCell: only nn.RNN"),
    "convolution": (lambda: nn.Conv1d(4, 4, 3), "is a Conv1d: only nn.RNN"),
    "own cell": (OwnCell, "is a OwnCell: only nn.RNN"),
    "subclass": (lambda: OwnLinear(4, 4), "is a OwnLinear: only nn.RNN"),
    "projection": (lambda: nn.LSTM(4, 4, proj_size=2), "projects its hidden state, proj_size=2"),
    "weight norm": (lambda: norm_of_old(nn.Linear(4, 4)), r"computes weight from other parameters \(.*weight_v\)"),
}


@pytest.mark.parametrize("kind", UNSUPPORTED)
def test_one_layer_that_cannot_be_compressed_is_skipped_with_a_note(kind: str):
    make, reason = UNSUPPORTED[kind]
    net = nn.ModuleDict({"first": nn.Linear(8, 8), "other": make(), "words": nn.Embedding(5, 4)})
    riemod.MagnitudePruner(net, scope="tensor").prune(0.5)
    with pytest.warns(UserWarning, match=f"other stays as it is, for it {reason}") as caught:
        compressed: Any = compress(net, "csr")
    assert len(caught) == 1
    assert isinstance(compressed["first"], CompressedLinear)
    assert type(compressed["other"]) is type(net["other"])
    dense = nn.ModuleDict({"first": pruned(nn.Linear(8, 8)), "other": make()})
    compress(dense, "csr")  # nothing to say of a layer that was not pruned


def test_a_skipped_layer_is_known_by_its_zeros_too():
    net = nn.ModuleList([pruned(nn.Linear(4, 4)), nn.GRUCell(4, 4)])
    net[1].weight_hh.data[:7] = 0
    with pytest.warns(UserWarning, match="1 stays as it is"):
        compress(net, "csr")


def test_a_transformer_layer_reads_its_weights_itself():
    layer = nn.TransformerEncoderLayer(16, 2, 32, batch_first=True).eval()
    riemod.MagnitudePruner(layer, targets=["linear1.weight", "linear2.weight"], scope="tensor").prune(0.9)
    net = nn.Sequential(layer, pruned(nn.Linear(16, 2))).eval()
    with pytest.warns(UserWarning, match=r"0\.linear[12] stays as it is, for it belongs to an nn\.Transf") as caught:
        compressed = compress(net, "csr")
    assert len(caught) == 2
    with torch.no_grad():
        torch.testing.assert_close(compressed(torch.ones(2, 5, 16)), net(torch.ones(2, 5, 16)))


class WeightDrop(nn.Module):
    """As in awd-lstm-lm: another tensor takes the place of the hidden matrix at each forward pass."""

    def __init__(self) -> None:
        super().__init__()
        self.module = nn.LSTM(4, 8)
        raw = self.module.weight_hh_l0
        del self.module._parameters["weight_hh_l0"]
        self.module.register_parameter("weight_hh_l0_raw", nn.Parameter(raw.data))
        self.module.flatten_parameters = lambda: None

    def forward(self, x: Tensor) -> Any:
        dropped = nn.functional.dropout(self.module.weight_hh_l0_raw, 0.5, self.training)
        self.module.weight_hh_l0 = dropped
        return self.module(x)


def test_a_weight_dropped_lstm_is_skipped_and_says_what_to_do():
    net = nn.Sequential(WeightDrop())
    riemod.MagnitudePruner(net, scope="tensor").prune(0.5)
    with pytest.raises(TypeError, match=r"0\.module computes weight_hh_l0 from .* into a plain nn\.LSTM"):
        compress(net, "csr")
    both = nn.ModuleList([net, pruned(nn.Linear(4, 4))])
    with pytest.warns(UserWarning, match=r"0\.0\.module stays as it is, for it computes weight_hh_l0"):
        compressed: Any = compress(both, "csr")
    assert compressed[0].eval()(torch.ones(2, 1, 4))[0].shape == (2, 1, 8)
    net(torch.ones(2, 1, 4))
    with (
        pytest.warns(UserWarning, match=r"0\.0\.module stays"),
        pytest.raises(ValueError, match=r"copy.deepcopy copies, .* call module\.eval\(\) and run it once"),
    ):
        compress(both, "csr")


@pytest.mark.parametrize("copied", [False, True])
def test_a_regularizer_outside_the_model_is_told(copied: bool):
    net: Any = pruned_net()[0]
    moduli = riemod.ModuliRegularizer(net.rnn, riemod.manifolds.Torus(2))
    if copied:
        net, moduli = copy.deepcopy((net, moduli))
        moduli().backward()
    message = r"outside of module penalizes rnn\.weight_hh_l0, .* leave it out of the copy's loss"
    with pytest.warns(UserWarning, match=message):
        compress(net, "csr")
    # Not where the weight stays dense, the net is for inference, or the regularizer is gone.
    compress(net, {"decoder.weight": "csr"})
    compress(net.eval(), "csr")
    del moduli
    gc.collect()
    compress(net.train(), "csr")


def test_a_regularizer_inside_the_model_is_refused_and_one_outside_stays_on_the_original():
    net: Any = pruned_net()[0]
    outside = riemod.ModuliRegularizer(net.rnn, riemod.manifolds.Torus(2))
    compressed: Any = compress(net.eval(), "csr")
    outside().backward()
    assert net.rnn.weight_hh_l0.grad is not None
    assert all(parameter.grad is None for parameter in compressed.parameters())
    net.moduli = outside
    with pytest.raises(ValueError, match=r"no ModuliRegularizer on a weight to compress, got moduli on weight_hh_l0"):
        compress(net, "csr")
    # On a layer that stays as it is, it goes on.
    net.moduli = riemod.ModuliRegularizer(dense := nn.RNN(2, 4), riemod.manifolds.Torus(2))
    net.dense = dense
    assert compress(net, "csr").get_submodule("moduli") is not net.moduli


def pruned(layer: nn.Module) -> Any:
    for name, parameter in layer.named_parameters():
        if name.startswith("weight"):
            parameter.data[0] = 0
    return layer
