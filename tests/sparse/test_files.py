"""Compressed models in files."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from safetensors.torch import save as to_bytes
from torch import nn

import riemod
from riemod._tensor_files import read_header, to_sealed_bytes
from riemod.sparse import compress, load, save
from tests.sparse.test_compress import Net, inputs, pruned, pruned_net


@pytest.mark.parametrize("layout", ["csr", "block16", {"rnn.weight_hh_l0": "csr"}], ids=str)
def test_a_loaded_model_is_the_saved_one_to_the_last_bit(layout: str | dict[str, str], tmp_path: Path):
    compressed = compress(pruned_net()[0], layout)
    save(compressed, tmp_path / "net.safetensors")
    fresh = Net()
    loaded = load(tmp_path / "net.safetensors", fresh)
    x = inputs()
    assert torch.equal(loaded(*x), compressed(*x))
    assert type(fresh.rnn) is nn.RNN
    assert {name: tensor.dtype for name, tensor in loaded.state_dict().items()} == {
        name: tensor.dtype for name, tensor in compressed.state_dict().items()
    }
    for first, second in zip(loaded.parameters(), compressed.parameters(), strict=True):
        assert torch.equal(first, second)


def test_layers_that_stay_dense_keep_their_masks_and_orders(tmp_path: Path):
    net = Net()
    moduli = riemod.ModuliRegularizer(net, riemod.manifolds.Torus(2), generator=torch.Generator().manual_seed(0))
    riemod.MagnitudePruner(net, blocks=16, order=moduli).prune(0.5)
    compressed = compress(net, {"decoder.weight": "csr"})
    save(compressed, tmp_path / "net")
    loaded = load(tmp_path / "net", Net()).state_dict()
    assert "rnn.weight_hh_l0_order" in loaded
    for name, tensor in compressed.state_dict().items():
        assert torch.equal(loaded[name], tensor)


def test_a_layer_alone_is_saved_and_loaded(tmp_path: Path):
    layer = pruned(nn.GRU(3, 20))
    compressed = compress(layer, "csr")
    save(compressed, tmp_path / "gru")
    x = torch.randn(4, 2, 3)
    assert torch.equal(load(tmp_path / "gru", nn.GRU(3, 20))(x)[0], compressed(x)[0])


def test_the_file_follows_the_kept_weights(tmp_path: Path):
    layer = nn.RNN(2, 1024, bias=False)
    for parameter in layer.parameters():
        parameter.data *= torch.rand_like(parameter) < 0.02
    save(compress(layer, "csr"), tmp_path / "rnn")
    dense = 4 * (1024 * 1024 + 2 * 1024)
    assert (tmp_path / "rnn").stat().st_size < 0.04 * dense


def test_wrong_files_and_models_are_named(tmp_path: Path):
    path = tmp_path / "net.safetensors"
    save(compress(pruned_net()[0], "csr"), path)
    with pytest.raises(FileNotFoundError, match="path must be an existing file"):
        load(tmp_path / "other", Net())
    with pytest.raises(ValueError, match=r"module must have encoder\.weight of shape \(64, 8\), .*got \(32, 8\)"):
        load(path, Net(hidden=32))
    with pytest.raises(ValueError, match=r"must have Linear as 'encoder', .*got nothing"):
        load(path, nn.Linear(2, 2))
    tanh = Net()
    tanh.rnn = nn.RNN(2, 64)
    with pytest.raises(ValueError, match=r"must have RNN_RELU, 1 layers, time first as 'rnn', .*got RNN_TANH"):
        load(path, tanh)
    with pytest.raises(TypeError, match="module must be"):
        load(path, "net")  # pyright: ignore[reportArgumentType]
    with pytest.raises(TypeError, match="module must be"):
        save("net", path)  # pyright: ignore[reportArgumentType]
    tensors = load_file(path)
    save_file(tensors, tmp_path / "plain")
    with pytest.raises(ValueError, match=r"must be a file in the format .* in None"):
        load(tmp_path / "plain", Net())
    (tmp_path / "cut").write_bytes(path.read_bytes()[:-100])
    with pytest.raises(ValueError, match="path must be an undamaged safetensors file"):
        load(tmp_path / "cut", Net())


def contents(path: Path) -> tuple[dict[str, torch.Tensor], dict[str, str]]:
    metadata = read_header(path)[1]
    del metadata["sha256"]
    return load_file(path), metadata


def test_a_changed_number_is_refused_by_the_checksum(tmp_path: Path):
    path = tmp_path / "net.safetensors"
    save(compress(pruned_net()[0], "csr"), path)
    whole = path.read_bytes()
    for place in (9, 60, len(whole) // 2, len(whole) - 1):
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :])
        with pytest.raises(ValueError, match=r"net\.safetensors"):
            load(path, Net())


def test_a_file_from_before_checksums_loads_with_a_note(tmp_path: Path):
    compressed = compress(pruned_net()[0], "csr")
    save(compressed, tmp_path / "new")
    tensors, metadata = contents(tmp_path / "new")
    (tmp_path / "old").write_bytes(to_bytes(tensors, metadata=metadata | {"format": "riemod.sparse 1"}))
    with pytest.warns(UserWarning, match="old has no checksum"):
        loaded = load(tmp_path / "old", Net())
    x = inputs()
    assert torch.equal(loaded(*x), compressed(*x))
    # The format of today must have one.
    (tmp_path / "old").write_bytes(to_bytes(tensors, metadata=metadata))
    with pytest.raises(ValueError, match="must have a SHA-256 among its metadata, got none"):
        load(tmp_path / "old", Net())


def change_layers(change: Callable[[dict[str, Any]], object]) -> Callable[[dict[str, Any], dict[str, str]], None]:
    def apply(_: dict[str, Any], metadata: dict[str, str]) -> None:
        layers = json.loads(metadata["layers"])
        change(layers)
        metadata["layers"] = json.dumps(layers)

    return apply


HIDDEN = "rnn.weight_hh_l0"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda tensors, _: tensors.pop(f"{HIDDEN}.columns"), "columns must be in the file"),
        (lambda tensors, _: tensors.pop(f"{HIDDEN}.values"), "values must be in the file"),
        (lambda tensors, _: tensors[f"{HIDDEN}.values"].unsqueeze_(0), "row_starts and columns must be"),
        (lambda tensors, _: tensors[f"{HIDDEN}.columns"].fill_(-1), r"columns must lie in \[0, 64\)"),
        (lambda tensors, _: tensors[f"{HIDDEN}.row_starts"].fill_(3), "row_starts must rise from 0"),
        (
            lambda tensors, _: tensors.update({f"{HIDDEN}.columns": tensors[f"{HIDDEN}.columns"].float()}),
            "columns must hold indices, got torch.float32",
        ),
        (
            lambda tensors, _: tensors.update({f"{HIDDEN}.values": tensors[f"{HIDDEN}.values"].double()}),
            "module must have rnn.weight_hh_l0 of torch.float64",
        ),
        (
            lambda tensors, _: tensors.update({f"{HIDDEN}.values": tensors[f"{HIDDEN}.values"].int()}),
            "values must hold real numbers, got torch.int32",
        ),
        (lambda tensors, _: tensors.update({"rnn.weight_ih_l0_order": torch.ones(3)}), "must"),
        (lambda tensors, _: tensors.update({"other": torch.ones(3)}), "must fit this Net"),
        (lambda _, metadata: metadata.pop("layers"), "metadata must have the key 'layers'"),
        (lambda _, metadata: metadata.update(layers="[]"), "layers must be an object, got a list"),
        (lambda _, metadata: metadata.update(layers="[" * 9000), "must not nest so deep"),
        (lambda _, metadata: metadata.update(masks='{"a": 1}'), "masks must be a list, got an object"),
        (lambda _, metadata: metadata.update(masks='["other_mask"]'), "masks must name masks of tensors"),
        (change_layers(lambda layers: layers["rnn"].pop("kind")), "rnn must have the key 'kind'"),
        (change_layers(lambda layers: layers["rnn"].update(weights=None)), "rnn.weights must be an object, got null"),
        (change_layers(lambda layers: layers["rnn"]["weights"].popitem()), "rnn must have the weights"),
        (
            change_layers(lambda layers: layers["rnn"]["weights"]["weight_hh_l0"].update(layout="block16")),
            "layout must be dense, csr or that of its blocks, got 'block16'",
        ),
        (
            change_layers(lambda layers: layers["rnn"]["weights"]["weight_hh_l0"].update(layout="dense")),
            r"values must be \(64, 64\), got",
        ),
        (
            change_layers(lambda layers: layers["rnn"]["weights"]["weight_hh_l0"].update(shape=[64])),
            r"of shape \(64,\), as",
        ),
        (
            change_layers(lambda layers: layers["rnn"]["weights"]["weight_hh_l0"].update(shape=[10**30, 64])),
            "module must have rnn.weight_hh_l0 of shape",
        ),
        (
            change_layers(lambda layers: layers["rnn"]["weights"]["weight_hh_l0"].update(shape=["64", 64])),
            r"shape\[0\] must be a whole number, got '64'",
        ),
    ],
)
def test_a_damage_that_the_checksum_does_not_know_is_named(
    change: Callable[[dict[str, torch.Tensor], dict[str, str]], object], message: str, tmp_path: Path
):
    path = tmp_path / "net.safetensors"
    save(compress(pruned_net()[0], "csr"), path)
    tensors, metadata = contents(path)
    change(tensors, metadata)
    path.write_bytes(to_sealed_bytes(tensors, metadata))
    with pytest.raises(ValueError, match=message) as caught:
        load(path, Net())
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_row_starts_that_wrap_around_are_refused():
    starts = torch.tensor([0, 2**31 - 1, -(2**31), 0], dtype=torch.int32)
    with pytest.raises(ValueError, match="row_starts must rise"):
        riemod.sparse.layouts.CSRMatrix((3, 2), torch.ones(0), starts, torch.ones(0, dtype=torch.int32))
