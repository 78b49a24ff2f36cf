"""The draws of weights: their spectra and variances on every kind of layer, under masks, and from a seed alone."""

import math
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
import torch
from scipy import stats
from torch import Tensor, nn

from riemod import initialization
from riemod.initialization import (
    BY_NAME,
    default,
    identity,
    nonnormal_chain,
    orthogonal,
    reset_parameters,
    sparsity_aware,
    spectral_radius,
)
from riemod.masks import masked_parameters, register_mask
from riemod.pruning import MagnitudePruner
from tests.strategies import generator

RECURRENT: dict[str, Callable[[], nn.Module]] = {
    "rnn": lambda: nn.RNN(3, 20, num_layers=2, nonlinearity="relu"),
    "bidirectional": lambda: nn.RNN(3, 20, bidirectional=True),
    "gru": lambda: nn.GRU(3, 20, num_layers=2, bidirectional=True),
    "lstm": lambda: nn.LSTM(3, 20),
    "rnn cell": lambda: nn.RNNCell(3, 20),
    "gru cell": lambda: nn.GRUCell(3, 20),
    "lstm cell": lambda: nn.LSTMCell(3, 20),
    "no bias": lambda: nn.GRU(3, 20, bias=False),
    "float64": lambda: nn.RNN(3, 20, dtype=torch.float64),
}


class Model(nn.Module):
    """A readout and a tied one, around a recurrent layer of any kind."""

    def __init__(self, kind: str) -> None:
        super().__init__()
        self.rnn = RECURRENT[kind]()
        self.readout = nn.Linear(20, 7)
        self.encoder = nn.Embedding(7, 20)
        self.decoder = nn.Linear(20, 7)
        self.decoder.weight = self.encoder.weight


def blocks(model: nn.Module) -> list[Tensor]:
    hidden = [value for name, value in model.named_parameters() if "weight_hh" in name]
    return [block.detach().double() for value in hidden for block in value.split(value.shape[1])]


def bits(model: nn.Module) -> dict[str, Tensor]:
    return {name: value.detach().clone() for name, value in model.named_parameters()}


def growth(matrix: Tensor) -> float:
    """lim |A^k|^(1/k) by repeated squaring: the spectral radius, without eigenvalues."""
    logarithm, power = 0.0, 1
    for _ in range(30):
        norm = torch.linalg.matrix_norm(matrix).item()
        logarithm, matrix = logarithm + math.log(norm) / power, matrix / norm
        matrix, power = matrix @ matrix, 2 * power
    return math.exp(logarithm)


def same(one: dict[str, Tensor], other: dict[str, Tensor]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


def masked_model(kind: str, sparsity: float, seed: int = 0) -> Model:
    model = Model(kind)
    reset_parameters(model, generator(seed))
    MagnitudePruner(model).prune(sparsity)
    return model


@pytest.mark.parametrize("kind", RECURRENT)
@pytest.mark.parametrize("name", BY_NAME)
def test_a_draw_follows_its_seed_and_leaves_biases_and_embeddings_to_torch(kind: str, name: str):
    draw, before = BY_NAME[name], torch.get_rng_state()
    models = [Model(kind) for _ in range(3)]
    torch.set_rng_state(before)
    for model, seed in zip(models, (1, 1, 2), strict=True):
        draw(model, generator=generator(seed))
    assert torch.equal(torch.get_rng_state(), before)
    first, again, other = (bits(model) for model in models)
    assert same(first, again)
    assert not same(first, other)
    as_torch = Model(kind)
    reset_parameters(as_torch, generator(1))
    for key, value in bits(as_torch).items():
        if "bias" in key or (name != "sparsity_aware" and "weight_hh" not in key):
            assert torch.equal(first[key], value), key
    assert same(first, bits(as_torch)) == (name == "default")


@pytest.mark.parametrize("kind", RECURRENT)
@pytest.mark.parametrize("name", BY_NAME)
def test_masked_weights_are_exactly_zero_and_parameters_stay_the_same_objects(kind: str, name: str):
    model = masked_model(kind, 0.8)
    masks = {key: mask.clone() for key, _, mask in masked_parameters(model)}
    objects = list(model.parameters())
    BY_NAME[name](model, generator=generator(1))
    for key, parameter, mask in masked_parameters(model):
        assert torch.equal(mask, masks[key])
        assert bool((parameter[~mask] == 0).all()), key
        if name in ("default", "sparsity_aware"):
            assert bool((parameter[mask] != 0).all()), key
    assert all(one is other for one, other in zip(objects, model.parameters(), strict=True))


@pytest.mark.parametrize("kind", RECURRENT)
def test_orthogonal_blocks(kind: str):
    model = Model(kind)
    orthogonal(model, generator=generator(0), gain=1.5)
    for block in blocks(model):
        torch.testing.assert_close(block @ block.T, 2.25 * torch.eye(20, dtype=torch.float64), atol=2e-6, rtol=0)
    first, second = blocks(Model("gru"))[:2]
    assert not torch.equal(first, second)


def test_orthogonal_is_uniform_on_the_group():
    """E trace(Q)^2 = 1 and the sign of a determinant is a coin; QR without a choice of signs has E trace < 0."""
    traces, signs = [], []
    source = generator(0)
    cell = nn.RNNCell(1, 4, dtype=torch.float64)
    for _ in range(400):
        orthogonal(cell, generator=source)
        traces.append(float(cell.weight_hh.detach().trace()))
        signs.append(float(torch.linalg.det(cell.weight_hh.detach())))
    values = torch.tensor(traces)
    assert abs(float(values.mean())) < 4 / 20
    assert abs(float(values.square().mean()) - 1) < 4 * math.sqrt(2) / 20
    assert abs(sum(signs)) < 4 * 20


@pytest.mark.parametrize("kind", RECURRENT)
def test_identity_and_chain(kind: str):
    model = Model(kind)
    identity(model, generator=generator(0), scale=0.25)
    eye = torch.eye(20, dtype=torch.float64)
    assert all(torch.equal(block, 0.25 * eye) for block in blocks(model))
    nonnormal_chain(model, generator=generator(0), scale=0.5, chain=0.25)
    chain = torch.diag(torch.ones(19, dtype=torch.float64), -1)
    for block in blocks(model):
        assert torch.equal(block, 0.5 * eye + 0.25 * chain)
        # From source k to target k + 1, and not normal.
        assert block[1, 0] == 0.25
        assert not torch.equal(block @ block.T, block.T @ block)
        assert torch.linalg.matrix_norm(block, 2) <= 0.75


@pytest.mark.parametrize("kind", RECURRENT)
@pytest.mark.parametrize("sparsity", [0.0, 0.6])
@pytest.mark.parametrize("radius", [None, 0.3, 1.7])
def test_the_masked_blocks_have_the_spectral_radius(kind: str, sparsity: float, radius: float | None):
    model = masked_model(kind, sparsity)
    sparsity_aware(model, generator=generator(3), spectral_radius=radius)
    plain = isinstance(model.rnn, nn.RNN | nn.RNNCell)
    expected = radius if radius is not None else (1.0 if plain else 1 / math.sqrt(3))
    for block in blocks(model):
        assert growth(block) == pytest.approx(expected, rel=1e-5)


def test_the_radius_of_gated_blocks_is_that_of_torch_s_own_draw():
    torch_s = nn.GRU(2, 300)
    default(torch_s, generator=generator(0))
    for block in blocks(torch_s):
        assert torch.linalg.eigvals(block).abs().max().item() == pytest.approx(3**-0.5, rel=0.1)


@pytest.mark.parametrize("name", ["readout.weight", "decoder.weight", "rnn.weight_ih_l0"])
def test_variances_go_by_the_inputs_that_a_row_keeps(name: str):
    model = Model("lstm")
    model.readout = nn.Linear(20, 200)
    model.decoder.weight = model.encoder.weight = nn.Parameter(torch.zeros(300, 20))
    owner, key = model.get_submodule(name.rpartition(".")[0]), name.rpartition(".")[2]
    holder = model.encoder if name.startswith("decoder") else owner
    mask = register_mask(holder, key)
    mask.copy_(torch.rand(mask.shape, generator=generator(5)) < torch.linspace(0.1, 1, len(mask))[:, None])
    mask[0] = False
    sparsity_aware(model, generator=generator(0), gain=2.0)
    weight, kept = model.get_parameter("encoder.weight" if name.startswith("decoder") else name), mask.sum(1)
    scaled = (weight.detach() * kept.sqrt()[:, None] / 2)[mask].double()
    assert stats.kstest(scaled.numpy(), "norm").pvalue > 0.01
    few, many = kept <= 3, kept > (kept.max() // 2)
    for rows in (few, many):
        part = (weight.detach() * kept.sqrt()[:, None] / 2)[rows][mask[rows]]
        assert stats.kstest(part.numpy(), "norm").pvalue > 0.01
    assert bool((weight[0] == 0).all())


def test_recurrent_blocks_keep_the_shape_of_the_variance():
    rnn = nn.RNN(2, 200, bias=False)
    mask = register_mask(rnn, "weight_hh_l0")
    mask.copy_(torch.rand(200, 200, generator=generator(1)) < torch.linspace(0.05, 0.9, 200)[:, None])
    sparsity_aware(rnn, generator=generator(0), spectral_radius=0.9)
    scaled = rnn.weight_hh_l0.detach() * mask.sum(1).sqrt()[:, None]
    scale = scaled[mask].std()
    for rows in (slice(0, 60), slice(60, 130), slice(130, 200)):
        assert stats.kstest((scaled[rows][mask[rows]] / scale).numpy(), "norm").pvalue > 0.01


def test_a_mask_without_a_cycle_keeps_its_fan_in_variance():
    rnn = nn.RNN(2, 60, bias=False)
    mask = register_mask(rnn, "weight_hh_l0")
    order = torch.randperm(60, generator=generator(0))
    mask.copy_(torch.ones(60, 60).tril(-1).bool()[order][:, order])
    sparsity_aware(rnn, generator=generator(0))
    weight = rnn.weight_hh_l0.detach()
    assert spectral_radius(weight) == 0
    rows = mask.sum(1) > 0
    scaled = (weight * mask.sum(1).sqrt()[:, None])[rows][mask[rows]]
    assert stats.kstest(scaled.numpy(), "norm").pvalue > 0.01
    mask.zero_()
    sparsity_aware(rnn, generator=generator(0))
    assert bool((rnn.weight_hh_l0 == 0).all())


@pytest.mark.parametrize("name", BY_NAME)
def test_skip_leaves_a_part_alone(name: str):
    model = nn.Sequential(nn.RNN(2, 5), nn.Linear(5, 5))
    kept = bits(model[1])
    BY_NAME[name](model, generator=generator(0), skip=model[1])
    assert same(bits(model[1]), kept)


BAD: list[tuple[Callable[..., Any], str]] = [
    (partial(orthogonal, gain=0.0), "gain must be positive"),
    (partial(orthogonal, gain=math.nan), "gain must be positive"),
    (partial(identity, scale=-1.0), "scale must be positive"),
    (partial(nonnormal_chain, scale=0.0), "scale must be positive"),
    (partial(nonnormal_chain, chain=math.inf), "chain must be positive"),
    (partial(sparsity_aware, spectral_radius=0.0), "spectral_radius must be positive"),
    (partial(sparsity_aware, spectral_radius=True), "spectral_radius must be positive"),
    (partial(sparsity_aware, gain=-2.0), "gain must be positive"),
]


@pytest.mark.parametrize(("draw", "message"), BAD)
def test_numbers_out_of_range_are_named_and_nothing_is_drawn(draw: Callable[..., Any], message: str):
    model = Model("rnn")
    before, source = bits(model), generator(0)
    with pytest.raises(ValueError, match=message):
        draw(model, generator=source)
    assert same(bits(model), before)
    assert torch.equal(source.get_state(), generator(0).get_state())


@pytest.mark.parametrize("name", [name for name in BY_NAME if name != "default"])
def test_a_projected_state_is_an_error(name: str):
    model = nn.LSTM(3, 6, proj_size=2)
    before = bits(model)
    with pytest.raises(ValueError, match="must not project its hidden state"):
        BY_NAME[name](model, generator=generator(0))
    assert same(bits(model), before)


@pytest.mark.parametrize("name", BY_NAME)
def test_what_is_no_model_is_named(name: str):
    with pytest.raises(TypeError, match=r"must be a torch\.nn.Module, got Tensor"):
        BY_NAME[name](torch.ones(2))  # pyright: ignore[reportArgumentType]


def test_names():
    assert {name: initialization.by_name(name) for name in BY_NAME} == BY_NAME
    with pytest.raises(ValueError, match=r"initializer must be 'default', .*, got 'xavier'"):
        initialization.by_name("xavier")
