"""Naming the weights of users' own cells: parts of concatenated matrices, kernels, and parameters under weight drop."""

import pytest
import torch
from torch import Tensor, nn

import riemod
from riemod import ModuliRegularizer, controls, moduli_penalty
from riemod.manifolds import Torus
from riemod.regularization import kernel, proximal_step
from tests.strategies import generator


class ConcatenatedCell(nn.Module):
    """The reference's own adding cell: one linear layer from inputs and state to the next state."""

    def __init__(self, inputs: int = 2, neurons: int = 5, gates: int = 1) -> None:
        super().__init__()
        self.mix = nn.Linear(inputs + neurons, gates * neurons)


@pytest.mark.parametrize("gates", [1, 3])
@pytest.mark.parametrize("costs", ["moduli", "shuffled", "matched_l1"])
def test_the_hidden_part_of_a_concatenated_matrix_is_penalized(gates: int, costs: str) -> None:
    cell = ConcatenatedCell(gates=gates).double()
    weight = cell.mix.weight
    hidden = riemod.recurrent(cell, "mix.weight", columns=slice(2, None))
    moduli = ModuliRegularizer(hidden, Torus(2), strength=2.0, costs=controls.by_name(costs), generator=generator(0))
    (gradient,) = torch.autograd.grad(moduli(), weight)
    part = weight.detach()[:, 2:].clone().requires_grad_()
    expected = 2 * (moduli.coefficients().repeat(gates, 1) * part.abs()).mean()
    torch.testing.assert_close(moduli(), expected)
    assert not gradient[:, :2].any()
    torch.testing.assert_close(gradient[:, 2:], torch.autograd.grad(expected, part)[0])
    if costs == "moduli":
        whole = moduli_penalty(part[:5], moduli.points, Torus(2), moduli.inhibitor)
        assert whole.isfinite()


def test_a_proximal_step_shrinks_the_hidden_part_only() -> None:
    cell = ConcatenatedCell()
    before = cell.mix.weight.detach().clone()
    moduli = ModuliRegularizer(
        riemod.recurrent(cell, "mix.weight", columns=slice(2, None)), Torus(2), strength=1e4, generator=generator(0)
    )
    proximal_step(moduli, lr=1.0)
    assert torch.equal(cell.mix.weight[:, :2], before[:, :2])
    assert (cell.mix.weight[:, 2:] == 0).float().mean() > 0.5


@pytest.mark.parametrize(
    ("columns", "error", "message"),
    [
        (
            None,
            ValueError,
            r"must be \(gates \* n, n\) to be recurrent, got \(5, 7\); columns=slice\(...\) names the hid",
        ),
        (slice(3, None), ValueError, r"must be \(gates \* n, n\) to be recurrent, got \(5, 4\)$"),
        (slice(9, None), ValueError, "columns must be a slice of step 1 that holds some of the 7 columns"),
        (slice(0, None, 2), ValueError, "columns must be a slice of step 1"),
        (2, TypeError, "columns must be a slice or None, got int"),
    ],
)
def test_columns_that_do_not_fit_are_named(columns: object, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        riemod.recurrent(ConcatenatedCell(), "mix.weight", columns=columns)


def test_a_parameter_of_three_dimensions_is_no_kernel_unless_declared_one() -> None:
    block = nn.Module()
    block.recurrent_kernel = nn.Parameter(torch.randn(4, 6, 3, generator=generator(0)))
    with pytest.raises(
        ValueError, match=r"must be a matrix, got shape \(4, 6, 3\): .*kernel\(module, 'recurrent_kernel'\)"
    ):
        ModuliRegularizer((block, "recurrent_kernel"), Torus(2))
    moduli = ModuliRegularizer(kernel(block, "recurrent_kernel"), Torus(2), strength=1.0, generator=generator(0))
    norms = block.recurrent_kernel.norm(dim=2)
    torch.testing.assert_close(moduli(), (moduli.coefficients() * norms).mean())
    with pytest.raises(ValueError, match=r"must be \(n, m, \*sizes\) to be a kernel, got \(3, 2\)"):
        kernel(nn.Linear(2, 3), "weight")


class WeightDrop(nn.Module):
    """What awd-lstm-lm does: the parameter moves aside, and a dropped-out copy takes its place at each forward pass."""

    def __init__(self, layer: nn.LSTM) -> None:
        super().__init__()
        self.layer = layer
        raw = layer.weight_hh_l0
        del layer._parameters["weight_hh_l0"]
        layer.register_parameter("weight_hh_l0_raw", nn.Parameter(raw.data))

    def drop(self) -> Tensor:
        dropped = nn.functional.dropout(self.layer.weight_hh_l0_raw, 0.5)
        self.layer.weight_hh_l0 = dropped
        return dropped


def test_weight_drop_is_told_apart_from_a_plain_layer() -> None:
    model = WeightDrop(nn.LSTM(2, 4))
    message = r"weight_hh_l0 of LSTM must be a parameter.*recurrent\(module, name\), with one of .*weight_hh_l0_raw"
    with pytest.raises(ValueError, match=message):
        ModuliRegularizer(model, Torus(2))
    model.drop()
    with pytest.raises(ValueError, match=message):
        ModuliRegularizer(model, Torus(2))
    moduli = ModuliRegularizer(riemod.recurrent(model, "layer.weight_hh_l0_raw"), Torus(2))
    moduli().backward()
    assert model.layer.weight_hh_l0_raw.grad.any()


def test_a_parametrized_layer_is_penalized_as_it_computes() -> None:
    layer = nn.utils.parametrizations.weight_norm(nn.RNN(2, 4), "weight_hh_l0")
    moduli = ModuliRegularizer(layer, Torus(2), strength=1.0, generator=generator(0))
    torch.testing.assert_close(moduli(), (moduli.coefficients() * layer.weight_hh_l0.abs()).mean())
