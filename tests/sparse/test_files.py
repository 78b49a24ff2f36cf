"""Compressed models in files."""

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import nn

import riemod
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
