import copy
import itertools
import pickle

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from riemod.manifolds._geoopt import geoopt
from riemod.masks import masked_parameters
from riemod.pruning import LinearSchedule, MagnitudePruner
from tests.pruning.nets import small


class Net(nn.Module):
    def __init__(self, tied=False):
        super().__init__()
        self.encoder = nn.Embedding(6, 4)
        self.rnn = nn.RNN(4, 4, num_layers=2, bidirectional=True)
        self.norm = nn.LayerNorm(8)
        self.decoder = nn.Linear(4 if tied else 8, 6)
        self.points = geoopt.ManifoldParameter(torch.randn(4, 2))
        self.counts = nn.Parameter(torch.zeros(2, 2, dtype=torch.int64), requires_grad=False)
        if tied:
            self.decoder.weight = self.encoder.weight

    def forward(self, tokens):
        hidden, _ = self.rnn(self.encoder(tokens))
        return self.decoder(self.norm(hidden))


class Tensors(nn.Module):
    def __init__(self, *tensors):
        super().__init__()
        self.tensors = nn.ParameterList(nn.Parameter(tensor) for tensor in tensors)


def zeros(pruner):
    return sum(int((~mask).sum()) for mask in pruner.masks().values())


def total(pruner):
    return sum(mask.numel() for mask in pruner.masks().values())


def snapshot(model):
    return {key: value.clone() for key, value in model.state_dict().items()}


def same(first, second):
    return first.keys() == second.keys() and all(torch.equal(first[key], second[key]) for key in first)


shapes = st.lists(st.lists(st.integers(1, 7), min_size=2, max_size=3), min_size=1, max_size=3)
sparsities = st.lists(st.floats(0, 1), min_size=1, max_size=4)


@small
@given(shapes, sparsities, st.booleans(), st.integers(0, 2**31))
def test_counts_are_exact_and_nothing_comes_back(shapes, sparsities, tied_values, seed):
    generator = torch.Generator().manual_seed(seed)
    tensors = [torch.randn(shape, generator=generator) for shape in shapes]
    model = Tensors(*(tensor.round() if tied_values else tensor for tensor in tensors))
    dense = snapshot(model)
    pruner = MagnitudePruner(model)
    highest = 0
    for sparsity in sparsities:
        before = {name: mask.clone() for name, mask in pruner.masks().items()}
        pruner.prune(sparsity)
        highest = max(highest, round(sparsity * total(pruner)))
        assert zeros(pruner) == highest
        assert pruner.sparsity()["total"] == highest / total(pruner)
        for name, mask in pruner.masks().items():
            assert not (mask & ~before[name]).any()
            assert torch.equal(model.get_parameter(name), dense[name] * mask)


@small
@given(shapes, st.floats(0, 1), st.integers(0, 2**31))
def test_each_tensor_alone(shapes, sparsity, seed):
    generator = torch.Generator().manual_seed(seed)
    model = Tensors(*(torch.randn(shape, generator=generator) * 10**index for index, shape in enumerate(shapes)))
    pruner = MagnitudePruner(model, scope="tensor")
    pruner.prune(sparsity)
    for mask in pruner.masks().values():
        assert int((~mask).sum()) == round(sparsity * mask.numel())


@pytest.mark.parametrize("scope", ["global", "tensor"])
def test_pruning_twice_changes_nothing(scope):
    model = Net()
    pruner = MagnitudePruner(model, scope=scope)
    pruner.prune(0.63)
    once = snapshot(model)
    for sparsity in (0.63, 0.2, 0.0):
        pruner.prune(sparsity)
        assert same(snapshot(model), once)


def test_ends_of_the_range():
    model = Net()
    pruner = MagnitudePruner(model)
    dense = model.encoder.weight.detach().clone()
    pruner.prune(0.0)
    assert zeros(pruner) == 0
    assert torch.equal(model.encoder.weight, dense)
    pruner.prune(1.0)
    assert pruner.sparsity() == dict.fromkeys(pruner.masks(), 1.0) | {"total": 1.0}
    assert model.decoder.weight.count_nonzero() == 0


@small
def test_ties_and_zeros_go_in_flat_order_and_the_largest_of_each_tensor_last():
    model = Tensors(torch.tensor([[1.0, -1.0, 0.0]]), torch.tensor([[-1.0, 0.0, 1.0]]))
    pruner = MagnitudePruner(model)
    expected = [[1, 1, 1, 1, 1, 1], [1, 1, 0, 1, 1, 1], [1, 1, 0, 1, 0, 1], [0, 1, 0, 1, 0, 1], [0, 1, 0, 0, 0, 1]]
    for count, row in enumerate(expected):
        pruner.prune(count / 6)
        assert torch.cat([mask.flatten() for mask in pruner.masks().values()]).tolist() == row


def test_masked_weights_rank_first_even_if_they_grew():
    model = Tensors(torch.tensor([[1.0, 2.0, 3.0, 4.0]]))
    pruner = MagnitudePruner(model)
    pruner.prune(0.25)
    with torch.no_grad():
        model.tensors[0][0, 0] = 100
    pruner.prune(0.5)
    assert model.tensors[0].tolist() == [[0, 0, 3, 4]]


def test_default_targets_are_weight_matrices():
    expected = ["encoder.weight"]
    for layer, direction in itertools.product((0, 1), ("", "_reverse")):
        expected += [f"rnn.weight_ih_l{layer}{direction}", f"rnn.weight_hh_l{layer}{direction}"]
    pruner = MagnitudePruner(Net())
    assert list(pruner.masks()) == [*expected, "decoder.weight"]
    assert pruner.sparsity() == dict.fromkeys([*expected, "decoder.weight", "total"], 0.0)


def test_targets_by_name_and_by_module():
    by_name, by_module = Net(), Net()
    names = ["decoder.bias", "rnn.weight_hh_l0"]
    first = MagnitudePruner(by_name, targets=names)
    second = MagnitudePruner(by_module, targets=[(by_module.decoder, "bias"), (by_module.rnn, "weight_hh_l0")])
    assert list(first.masks()) == list(second.masks()) == ["rnn.weight_hh_l0", "decoder.bias"]
    before = by_name.encoder.weight.detach().clone()
    first.prune(0.5)
    assert zeros(first) == 11
    assert torch.equal(by_name.encoder.weight, before)


@pytest.mark.parametrize("target", ["encoder.weight", "decoder.weight", None])
def test_tied_weights_count_once(target):
    model = Net(tied=True)
    pruner = MagnitudePruner(model, targets=None if target is None else [target, "decoder.weight"])
    assert "encoder.weight" in pruner.masks()
    assert "decoder.weight" not in pruner.masks()
    pruner.prune(0.5)
    assert zeros(pruner) == round(0.5 * total(pruner))
    assert model.decoder.weight is model.encoder.weight
    assert torch.equal(model.decoder.weight != 0, model.encoder.weight_mask)
    assert len(list(masked_parameters(model))) == len(pruner.masks())


def test_a_part_s_mask_is_taken_over_by_a_pruner_of_the_whole():
    model = Net(tied=True)
    MagnitudePruner(model.decoder).prune(0.5)
    whole = MagnitudePruner(model, targets=["encoder.weight"])
    assert whole.sparsity() == {"decoder.weight": 0.5, "total": 0.5}
    assert [name for name, _, _ in masked_parameters(model)] == ["decoder.weight"]


def test_shared_module_counts_once():
    shared = nn.Linear(3, 3)
    pruner = MagnitudePruner(nn.Sequential(shared, shared), targets=["1.weight"])
    assert list(pruner.masks()) == ["0.weight"]


@pytest.mark.parametrize(
    ("targets", "error", "message"),
    [
        (["rnn.weight"], ValueError, "targets must be among .*rnn.weight_hh_l0.*got 'rnn.weight'"),
        ([], ValueError, "nothing to prune"),
        (["points"], ValueError, "points of a manifold"),
        (["counts"], ValueError, "int64"),
        ([(nn.Linear(1, 1), "weight")], ValueError, "not a part of the model"),
        ("encoder.weight", TypeError, "targets"),
        ([3], TypeError, "targets"),
        ([("encoder", "weight")], TypeError, "targets"),
    ],
)
def test_bad_targets(targets, error, message):
    model = Net()
    before = list(model.state_dict())
    with pytest.raises(error, match=message):
        MagnitudePruner(model, targets=targets)
    assert list(model.state_dict()) == before


def test_bad_pair_names_what_the_module_has():
    model = Net()
    with pytest.raises(ValueError, match="'kernel' in this Linear; it has weight, bias"):
        MagnitudePruner(model, targets=[(model.decoder, "kernel")])


def test_bad_arguments():
    with pytest.raises(TypeError, match="model"):
        MagnitudePruner(torch.ones(2, 2))
    with pytest.raises(TypeError, match="schedule"):
        MagnitudePruner(Net(), 0.9)
    with pytest.raises(ValueError, match="scope must be 'global' or 'tensor'"):
        MagnitudePruner(Net(), scope="layer")
    with pytest.raises(ValueError, match="nothing to prune"):
        MagnitudePruner(nn.LayerNorm(3))
    with pytest.raises(ValueError, match="run the model once"):
        MagnitudePruner(nn.Sequential(nn.LazyLinear(3)))


def test_parametrized_weights_are_refused():
    model = nn.Sequential(nn.Linear(3, 3), nn.utils.parametrizations.orthogonal(nn.Linear(3, 3)))
    with pytest.raises(ValueError, match="parametrization"):
        MagnitudePruner(model)
    assert list(MagnitudePruner(model, targets=["0.weight"]).masks()) == ["0.weight"]


def test_a_name_in_use_is_refused_before_anything_is_registered():
    model = nn.Sequential(nn.Linear(3, 3), nn.Linear(3, 3))
    model[1].weight_mask = torch.ones(3)
    with pytest.raises(ValueError, match="weight_mask"):
        MagnitudePruner(model)
    assert list(model[0].state_dict()) == ["weight", "bias"]


@pytest.mark.parametrize("sparsity", [-0.1, 1.1, float("nan"), float("inf")])
def test_bad_sparsity(sparsity):
    with pytest.raises(ValueError, match="sparsity"):
        MagnitudePruner(Net()).prune(sparsity)


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), -float("inf")])
def test_weights_without_an_order_change_nothing(bad):
    model = Net()
    pruner = MagnitudePruner(model)
    pruner.prune(0.3)
    with torch.no_grad():
        model.decoder.weight[1, 2] = bad
    before = snapshot(model)
    with pytest.raises(ValueError, match=r"decoder\.weight holds NaN or infinity"):
        pruner.prune(0.6)
    after = snapshot(model)
    assert torch.equal(before.pop("decoder.weight").nan_to_num(), after.pop("decoder.weight").nan_to_num())
    assert same(before, after)


@small
def test_schedule():
    model = Net()
    pruner = MagnitudePruner(model, LinearSchedule(final=0.9, epochs=6, tail=2))
    for epoch in range(6):
        sparsity = pruner.start_epoch(epoch)
        assert sparsity == LinearSchedule(0.9, 6, tail=2)(epoch)
        assert zeros(pruner) == round(sparsity * total(pruner))
    with pytest.raises(ValueError, match="epoch"):
        pruner.start_epoch(-1)
    with pytest.raises(ValueError, match="schedule"):
        MagnitudePruner(Net()).start_epoch(0)
    with pytest.raises(ValueError, match="sparsity"):
        MagnitudePruner(Net(), lambda epoch: 1.5).start_epoch(0)


@small
@given(
    st.sampled_from(["global", "tensor"]), st.sampled_from(["global", "tensor"]), st.floats(0, 1), st.integers(0, 99)
)
def test_frozen(first, second, sparsity, seed):
    generator = torch.Generator().manual_seed(seed)
    model = Tensors(torch.randn(3, 5, generator=generator), 2 * torch.randn(7, 2, generator=generator))
    MagnitudePruner(model, scope=first).prune(sparsity)
    pruner = MagnitudePruner(model, LinearSchedule(final=1.0, epochs=2), scope=second)
    before = snapshot(model)
    pruner.freeze()
    assert 0 <= pruner.start_epoch(1) <= pruner.sparsity()["total"]
    assert same(snapshot(model), before)


def test_building_a_pruner_keeps_random_numbers_weights_and_gradients():
    model = Net()
    model(torch.arange(5)).sum().backward()
    before, state = snapshot(model), torch.get_rng_state()
    gradient = model.encoder.weight.grad.clone()
    pruner = MagnitudePruner(model)
    pruner.prune(0.5)
    assert torch.equal(torch.get_rng_state(), state)
    assert torch.equal(model.encoder.weight.grad, gradient)
    assert torch.equal(before["decoder.weight"] * model.decoder.weight_mask, model.decoder.weight)


@small
def test_checkpoint_round_trip():
    model = Net()
    pruner = MagnitudePruner(model)
    pruner.prune(0.7)
    saved = snapshot(model)
    assert sum(key.endswith("_mask") for key in saved) == len(pruner.masks())
    for assign in (False, True):
        fresh = Net()
        other = MagnitudePruner(fresh)
        fresh.load_state_dict(saved, assign=assign)
        assert other.sparsity() == pruner.sparsity()
        other.prune(0.7)
        assert same(snapshot(fresh), saved)
        other.prune(0.8)
        assert zeros(other) == round(0.8 * total(other))
        assert all(torch.equal(fresh.state_dict()[name] != 0, mask) for name, mask in other.masks().items())


def test_a_second_pruner_continues():
    model = Net()
    MagnitudePruner(model, targets=["encoder.weight"]).prune(1.0)
    second = MagnitudePruner(model)
    second.prune(0.5)
    assert second.sparsity()["encoder.weight"] == 1
    assert zeros(second) == round(0.5 * total(second))


@small
@pytest.mark.parametrize("duplicate", [copy.deepcopy, lambda pair: pickle.loads(pickle.dumps(pair))])
def test_copies_stay_together_and_apart_from_the_original(duplicate):
    model = Net(tied=True)
    pruner = MagnitudePruner(model)
    pruner.prune(0.3)
    before = snapshot(model)
    other, other_pruner = duplicate((model, pruner))
    assert other_pruner.model is other
    other_pruner.prune(0.9)
    assert zeros(other_pruner) == round(0.9 * total(other_pruner))
    assert other.encoder.weight.count_nonzero() == other.encoder.weight_mask.sum()
    assert other.decoder.weight is other.encoder.weight
    assert same(snapshot(model), before)


@small
def test_dtype_change_keeps_masks():
    model = Net()
    pruner = MagnitudePruner(model)
    pruner.prune(0.5)
    model.to(torch.float64)
    assert all(mask.dtype == torch.bool for mask in pruner.masks().values())
    pruner.prune(0.75)
    assert zeros(pruner) == round(0.75 * total(pruner))


def test_masks_follow_to_another_device():
    model = Net().to("meta")
    pruner = MagnitudePruner(model)
    assert {mask.device.type for mask in pruner.masks().values()} == {"meta"}


@small
@pytest.mark.parametrize("kind", [nn.RNN, nn.GRU, nn.LSTM])
def test_flat_weights_stay_flat(kind):
    rnn = kind(3, 5, num_layers=2)
    parameters = list(rnn.parameters())
    pointers = [parameter.data_ptr() for parameter in parameters]
    pruner = MagnitudePruner(rnn)
    optimizer = torch.optim.Adam(rnn.parameters())
    for sparsity in (0.5, 0.9):
        pruner.prune(sparsity)
        output, _ = rnn(torch.randn(4, 2, 3))
        output.sum().backward()
        optimizer.step()
        pruner.apply(optimizer)
    names = itertools.chain.from_iterable(rnn._all_weights)
    for flat, name, parameter, pointer in zip(rnn._flat_weights, names, parameters, pointers, strict=True):
        assert flat is parameter is getattr(rnn, name)
        assert parameter.data_ptr() == pointer
    copied, copied_pruner = copy.deepcopy((rnn, pruner))
    assert all(flat is parameter for flat, parameter in zip(copied._flat_weights, copied.parameters(), strict=True))
    sample = torch.randn(4, 2, 3)
    assert torch.equal(copied(sample)[0], rnn(sample)[0])
    copied_pruner.prune(1.0)
    assert not torch.equal(copied(sample)[0], rnn(sample)[0])
