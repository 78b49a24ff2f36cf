"""What a pruner tells of its own accord: tensors that are empty, weights that contradict their masks, masks lost."""

import copy

import pytest
import torch
from torch import nn

from riemod.masks import apply_masks, attach_masks
from riemod.pruning import MagnitudePruner


class Tagger(nn.Module):
    """Global ranking emptied the readout of this net: torch draws its weights small."""

    def __init__(self) -> None:
        super().__init__()
        self.rnn = nn.LSTM(8, 64, num_layers=2, bidirectional=True)
        self.readout = nn.Linear(128, 3)


def tagger() -> Tagger:
    torch.manual_seed(0)
    return Tagger()


def test_global_ranking_does_not_empty_a_readout_and_says_that_it_would():
    net = tagger()
    pruner = MagnitudePruner(net)
    with pytest.warns(UserWarning, match=r"readout\.weight keeps 3 of 384 weights, its floor: .*scope=\"tensor\""):
        pruner.prune(0.9)
    # Each output depends on its strongest input.
    whole = tagger().readout.weight.abs()
    assert (net.readout.weight != 0).nonzero().tolist() == [[row, int(whole[row].argmax())] for row in range(3)]
    assert pruner.sparsity()["total"] == pytest.approx(0.9, abs=1e-5)
    with pytest.warns(UserWarning, match=r"readout\.weight keeps 40 of 384"):
        MagnitudePruner(raised := tagger(), floor=40).prune(0.9)
    assert int(raised.readout.weight.count_nonzero()) == 40
    with pytest.warns(UserWarning, match=r"readout\.weight is empty: .* no longer depends on its input"):
        MagnitudePruner(bare := tagger(), floor=0).prune(0.9)
    assert not bare.readout.weight.any()


def test_nothing_is_said_where_every_tensor_keeps_weights_or_all_were_to_go():
    MagnitudePruner(net := tagger(), scope="tensor").prune(0.9)
    pruner = MagnitudePruner(net)
    pruner.prune(0.9)
    pruner.prune(1.0)
    assert pruner.sparsity()["readout.weight"] == 1


def test_sparsity_is_measured_on_the_weights():
    layer = nn.Linear(4, 4)
    pruner = MagnitudePruner(layer)
    pruner.prune(0.75)
    with torch.no_grad():
        layer.weight[~layer.weight_mask.clone()] = 1.0
    with pytest.warns(UserWarning, match="weight is not 0 at 12 of its 12 pruned entries"):
        assert pruner.sparsity() == {"weight": 0.0, "total": 0.0}
    with torch.no_grad():
        layer.weight[(~layer.weight_mask).nonzero()[0][0]] = torch.nan
    with pytest.warns(UserWarning, match="weight is not 0 at 12 of its 12"):
        pruner.sparsity()
    layer.weight.data.nan_to_num_()
    pruner.apply()
    assert pruner.sparsity() == {"weight": 0.75, "total": 0.75}


def test_an_optimizer_without_masks_is_told():
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(4, 8), nn.Linear(8, 2))
    pruner = MagnitudePruner(net, scope="tensor")
    pruner.prune(0.5)
    for masked in (True, False):
        own, holder = copy.deepcopy((net, pruner))
        optimizer = torch.optim.SGD(own.parameters(), lr=0.1)
        if masked:
            attach_masks(optimizer, own)
        own(torch.randn(5, 4)).square().sum().backward()
        optimizer.step()
        if masked:
            assert holder.sparsity()["total"] == 0.5
        else:
            with pytest.warns(match=r"0\.weight is not 0 at"), pytest.warns(match=r"1\.weight is not 0 at"):
                assert holder.sparsity()["total"] < 0.5


def test_a_readout_of_zeros_whose_mask_keeps_weights_is_told():
    net = nn.Sequential(nn.Linear(4, 8), nn.Linear(8, 2))
    pruner = MagnitudePruner(net, scope="tensor")
    pruner.prune(0.5)
    with torch.no_grad():
        net[1].weight.zero_()
    with pytest.warns(UserWarning, match=r"1\.weight is 0 everywhere, though its mask keeps 8 of 16 entries"):
        pruner.sparsity()


def test_a_loaded_model_that_lost_its_masks_is_told():
    old = nn.Linear(16, 16)
    MagnitudePruner(old).prune(0.84)
    loaded = nn.Linear(16, 16)
    loaded.load_state_dict(old.state_dict(), strict=False)
    with pytest.warns(UserWarning, match=r"weight has no mask, but 84% of it is 0: .*apply_masks\(model, \{'weight'"):
        MagnitudePruner(loaded)
    again = nn.Linear(16, 16)
    again.load_state_dict(old.state_dict(), strict=False)
    apply_masks(again, {"weight": again.weight != 0})
    assert MagnitudePruner(again).sparsity()["total"] == pytest.approx(0.84, abs=0.01)


def test_draws_with_zeros_are_no_lost_masks():
    net = nn.Sequential(nn.RNN(2, 8), nn.Linear(8, 2))
    nn.init.eye_(net[0].weight_hh_l0)
    nn.init.zeros_(net[1].weight)
    MagnitudePruner(net)
