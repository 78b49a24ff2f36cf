"""Linear and convolutional layers, chains of them, and parameters of one's own cells."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

import riemod
from riemod import ModuliRegularizer, inhibitors, moduli_penalty
from riemod.manifolds import Euclidean, KleinBottle, PoincareBall, Sphere, Torus
from riemod.regularization import Modules, NeuronEmbedding, chain, recurrent
from riemod.regularization.inhibitors import DifferenceOfGaussians
from tests.regularization.formulas import MANIFOLDS, plain_penalty, plain_squared_distance
from tests.strategies import generator, seeds


class MinimalCell(nn.Module):
    """Someone's own gated cell, without any base class of a library."""

    def __init__(self, inputs: int = 3, neurons: int = 5) -> None:
        super().__init__()
        self.transition = nn.Parameter(torch.randn(2 * neurons, neurons, dtype=torch.float64))
        self.reading = nn.Parameter(torch.randn(neurons, inputs, dtype=torch.float64))
        self.offset = nn.Parameter(torch.zeros(neurons, dtype=torch.float64))
        self.register_buffer("steps", torch.zeros(2, 2, dtype=torch.int64))


def sides(moduli: ModuliRegularizer, index: int) -> tuple[Tensor, Tensor]:
    """The points of one weight's targets and sources."""
    (rows,), (columns,) = moduli.layer_embeddings(index), moduli.source_embeddings(index)
    assert isinstance(rows, NeuronEmbedding)
    return rows.points, columns.points


def assert_same_gradients(own: Tensor, expected: Tensor, inputs: list[Tensor]) -> None:
    torch.testing.assert_close(own, expected)
    pairs = zip(torch.autograd.grad(own, inputs), torch.autograd.grad(expected, inputs), strict=True)
    for one, other in pairs:
        assert other.any()
        torch.testing.assert_close(one, other, rtol=1e-7, atol=1e-9)


@pytest.mark.parametrize("reduction", ["mean", "sum"])
@pytest.mark.parametrize("name", MANIFOLDS)
def test_a_linear_layer_has_points_for_its_inputs_and_its_outputs(name, reduction):
    linear, manifold = nn.Linear(4, 7).double(), MANIFOLDS[name]().double()
    moduli = ModuliRegularizer(linear, manifold, strength=2.0, reduction=reduction, learn=True, generator=generator(0))
    assert [embedding.size for embedding in moduli.embeddings] == [4, 7]
    outputs, inputs = sides(moduli, 0)
    assert not torch.equal(outputs[:4], inputs)
    distances = plain_squared_distance(moduli.embeddings[0].manifold, outputs, inputs)
    costs = moduli.inhibitor.of_squared_distance(distances) * linear.weight.abs()
    expected = 2 * (costs.mean() if reduction == "mean" else costs.sum())
    assert_same_gradients(moduli(), expected, [linear.weight, *moduli.parameters()])
    assert moduli.coefficients().shape == (7, 4)
    torch.testing.assert_close(moduli.coefficients(), moduli.inhibitor.of_squared_distance(distances).detach())


@pytest.mark.parametrize("kind", [nn.Conv1d, nn.Conv2d, nn.Conv3d])
@pytest.mark.parametrize("power", [1, 2])
def test_a_convolution_pays_for_the_norm_of_each_kernel_slice(kind, power):
    layer, torus = kind(3, 6, 2, stride=2).double(), Torus(2)
    moduli = ModuliRegularizer(layer, torus, strength=1.0, power=power, learn=True, generator=generator(0))
    outputs, inputs = sides(moduli, 0)
    squared = torch.zeros(6, 3, dtype=torch.float64)
    for target in range(6):
        for source in range(3):
            squared[target, source] = sum(entry**2 for entry in layer.weight[target, source].flatten())
    costs = moduli.inhibitor.of_squared_distance(plain_squared_distance(torus, outputs, inputs))
    expected = (costs * squared ** (power / 2)).mean()
    assert_same_gradients(moduli(), expected, [layer.weight, *moduli.parameters()])


def test_an_empty_kernel_slice_costs_nothing_and_has_no_slope():
    layer = nn.Conv2d(3, 4, 3)
    with torch.no_grad():
        layer.weight[1, 2] = 0
    moduli = ModuliRegularizer(layer, Torus(2), learn=True, generator=generator(0))
    moduli().backward()
    gradient = layer.weight.grad
    assert gradient is not None
    assert gradient.isfinite().all()
    assert not gradient[1, 2].any()
    assert gradient[1, 1].any()


@pytest.mark.parametrize("reduction", ["mean", "sum"])
def test_a_chain_shares_the_points_in_between(reduction):
    first, second, torus = nn.Linear(4, 6).double(), nn.Linear(6, 3).double(), Torus(2)
    moduli = ModuliRegularizer(
        chain(first, second), torus, strength=0.5, reduction=reduction, learn=True, generator=generator(0)
    )
    assert [embedding.size for embedding in moduli.embeddings] == [4, 6, 3]
    assert moduli.layer_embeddings(0)[0] is moduli.source_embeddings(1)[0] is moduli.embeddings[1]
    x, y, z = (embedding.points for embedding in moduli.embeddings)
    expected = 0.5 * (
        moduli_penalty(first.weight, y, torus, moduli.inhibitor, reduction=reduction, source_points=x)
        + moduli_penalty(second.weight, z, torus, moduli.inhibitor, reduction=reduction, source_points=y)
    )
    assert_same_gradients(moduli(), expected, [first.weight, second.weight, *moduli.parameters()])


def test_a_chain_may_be_long_and_of_many_kinds():
    layers = [nn.Conv1d(2, 4, 3), nn.Conv1d(4, 5, 1), nn.Linear(5, 3)]
    moduli = ModuliRegularizer(chain(*layers), Sphere(2), generator=generator(0))
    assert [embedding.size for embedding in moduli.embeddings] == [2, 4, 5, 3]
    assert [target.module for target in moduli.weights] == layers


def test_a_list_is_penalized_item_by_item_in_one_regularizer():
    gru, linear, cell = nn.GRU(3, 5, num_layers=2).double(), nn.Linear(5, 2).double(), MinimalCell()
    items = [gru, linear, recurrent(cell, "transition"), chain(nn.Linear(2, 3).double(), nn.Linear(3, 2).double())]
    torus, line, ball, sphere = Torus(2), Euclidean(1), PoincareBall(2), Sphere(1)
    spaces = [torus, torus, line, line, ball, sphere, sphere, sphere]
    moduli = ModuliRegularizer(items, spaces, generator=generator(0))
    assert [embedding.size for embedding in moduli.embeddings] == [5, 5, 5, 2, 5, 2, 3, 2]
    assert [embedding.manifold for embedding in moduli.embeddings] == spaces
    expected = torch.stack(
        [(moduli.coefficients(i).repeat(t.gates, 1) * t.tensor.abs()).mean() for i, t in enumerate(moduli.weights)]
    ).sum()
    torch.testing.assert_close(moduli(), 0.1 * expected)


def test_a_model_still_means_its_recurrent_layers_alone():
    model = nn.Sequential(nn.Linear(2, 3), nn.Conv1d(3, 4, 1), nn.GRU(4, 5))
    moduli = ModuliRegularizer(model, Torus(2))
    assert [target.module for target in moduli.weights] == [model[2]]


def test_modules_of_a_linear_layer_are_a_block_matrix_of_costs():
    linear = nn.Linear(6, 9).double()
    modules = Modules([(Sphere(1), 2), (Torus(2), None), (KleinBottle(), 3)], between=42.0)
    moduli = ModuliRegularizer(linear, modules, strength=1.0, learn=True, generator=generator(0))
    assert [embedding.size for embedding in moduli.embeddings] == [2, 1, 3, 2, 4, 3]
    costs = torch.full((9, 6), 42.0, dtype=torch.float64)
    outputs, inputs = moduli.layer_embeddings(0), moduli.source_embeddings(0)
    for rows, columns, top, left in zip(outputs, inputs, (0, 2, 6), (0, 2, 3), strict=True):
        block = moduli.inhibitor.of_squared_distance(plain_squared_distance(rows.manifold, rows.points, columns.points))
        costs[top : top + rows.size, left : left + columns.size] = block
    expected = (costs * linear.weight.abs()).mean()
    assert_same_gradients(moduli(), expected, [linear.weight, *moduli.parameters()])
    torch.testing.assert_close(moduli.coefficients(), costs.detach())


@given(seed=seeds, rows=st.integers(1, 6), columns=st.integers(1, 6))
def test_renaming_the_neurons_of_both_sides_changes_nothing(seed, rows, columns):
    drawn = generator(seed)
    weight = torch.randn(rows, columns, dtype=torch.float64, generator=drawn)
    points = [Torus(2).sample(size, generator=drawn, dtype=torch.float64) for size in (columns, rows)]
    orders = [torch.randperm(size, generator=drawn) for size in (columns, rows)]

    def value(matrix: Tensor, starts: list[Tensor]) -> Tensor:
        linear = nn.Linear(columns, rows, dtype=torch.float64)
        linear.weight = nn.Parameter(matrix)
        return ModuliRegularizer(linear, Torus(2), points=starts)()

    renamed = value(weight[orders[1]][:, orders[0]], [p[o] for p, o in zip(points, orders, strict=True)])
    torch.testing.assert_close(renamed, value(weight, points))


def test_a_parameter_of_one_s_own_cell():
    cell, torus = MinimalCell(), Torus(2)
    hidden = ModuliRegularizer(recurrent(cell, "transition"), torus, learn=True, generator=generator(0))
    reading = ModuliRegularizer((cell, "reading"), torus, learn=True, generator=generator(1))
    assert ([e.size for e in hidden.embeddings], hidden.weights[0].gates) == ([5], 2)
    assert [e.size for e in reading.embeddings] == [3, 5]
    expected = 0.05 * sum(
        plain_penalty(gate, hidden.points, torus, hidden.inhibitor) for gate in cell.transition.split(5)
    )
    assert_same_gradients(hidden(), expected, [cell.transition, hidden.points])
    outputs, inputs = sides(reading, 0)
    expected = 0.1 * moduli_penalty(cell.reading, outputs, torus, reading.inhibitor, source_points=inputs)
    assert_same_gradients(reading(), expected, [cell.reading, outputs, inputs])


def test_a_parameter_is_found_by_its_path():
    model = nn.ModuleDict({"cell": MinimalCell()})
    moduli = ModuliRegularizer(recurrent(model, "cell.transition"), Torus(2))
    assert (moduli.weights[0].module, moduli.weights[0].parameter) == (model["cell"], "transition")


def test_a_named_parameter_of_torch_s_layers_keeps_its_gates():
    lstm = nn.LSTM(3, 5).double()
    moduli = ModuliRegularizer([(lstm, "weight_hh_l0"), (lstm, "weight_ih_l0")], Torus(2), generator=generator(0))
    assert [e.size for e in moduli.embeddings] == [5, 3, 5]
    costs = [moduli.coefficients(i).repeat(4, 1) for i in range(2)]
    expected = (costs[0] * lstm.weight_hh_l0.abs()).mean() + (costs[1] * lstm.weight_ih_l0.abs()).mean()
    torch.testing.assert_close(moduli(), 0.1 * expected)


def test_each_parameter_may_have_a_regularizer_of_its_own():
    lstm = nn.LSTM(3, 5)
    first = ModuliRegularizer(lstm, Torus(2))
    second = ModuliRegularizer((lstm, "weight_ih_l0"), Torus(2))
    (first() + second()).backward()
    assert lstm.weight_ih_l0.grad.any()
    assert lstm.weight_hh_l0.grad.any()


class OwnCell(nn.Module):
    """A cell as users write it: its hidden matrix is a linear layer from the neurons to themselves."""

    def __init__(self) -> None:
        super().__init__()
        self.h2h = nn.Linear(4, 4)
        self.i2h = nn.Linear(2, 4)


def test_a_square_pair_of_a_user_s_own_cell_is_asked_for_as_recurrent():
    cell = OwnCell()
    with pytest.warns(
        UserWarning, match=r"\(OwnCell, 'h2h.weight'\) is square.*riemod.recurrent\(module, 'h2h.weight'\)"
    ):
        moduli = ModuliRegularizer((cell, "h2h.weight"), Torus(2))
    assert len(moduli.embeddings) == 2
    # Any warning would be an error.
    assert len(ModuliRegularizer(riemod.recurrent(cell, "h2h.weight"), Torus(2)).embeddings) == 1
    assert len(ModuliRegularizer([(cell, "i2h.weight"), cell.h2h, (cell.h2h, "weight")][:2], Torus(2)).embeddings) == 4
    with pytest.raises(
        ValueError, match=r"got OwnCell; .*recurrent\(module, name\) for the hidden matrix of your own cell"
    ):
        ModuliRegularizer(cell, Torus(2))


def shared() -> list[nn.Linear]:
    first, second = nn.Linear(4, 4), nn.Linear(4, 4)
    second.weight = first.weight
    return [first, second]


TORUS = Torus(2)
CELL = MinimalCell()
LINEAR = nn.Linear(2, 3)
BAD = {
    "unequal": (lambda: chain(nn.Linear(4, 6), nn.Linear(5, 3)), TORUS, ValueError,
                "layers must fit in a chain: Linear has 6 outputs, Linear has 5 inputs"),
    "unequal channels": (lambda: chain(nn.Conv2d(1, 2, 3), (LINEAR, "weight"), LINEAR), TORUS, ValueError,
                         r"layers must fit in a chain: \(Linear, 'weight'\) has 3 outputs, Linear has 2 inputs"),
    "one link": (lambda: chain(nn.Linear(4, 6)), TORUS, ValueError, "layers must be two or more in a chain, got 1"),
    "recurrent link": (lambda: chain(nn.Linear(4, 6), nn.RNN(6, 6)), TORUS, ValueError,
                       "layers must be linear or convolutional in a chain, got RNN"),
    "activation in the chain": (lambda: chain(LINEAR, nn.ReLU()), TORUS, ValueError, "module must be or hold"),
    "groups": (lambda: nn.Conv2d(4, 4, 3, groups=2), TORUS, ValueError, "a convolution with groups=1, got groups=2"),
    "transposed": (lambda: nn.ConvTranspose2d(4, 4, 3), TORUS, ValueError, "must be one of .*, got ConvTranspose2d"),
    "transposed by name": (lambda: (nn.ConvTranspose1d(4, 4, 3), "weight"), TORUS, ValueError, "got ConvTranspose1d"),
    "attention": (lambda: nn.MultiheadAttention(4, 2), TORUS, ValueError,
                  "got MultiheadAttention; .*nn.Conv2d.*neurons; parameters here: in_proj_weight, .*out_proj.weight"),
    "no layer": (lambda: [], TORUS, ValueError, "module must name at least one layer, got an empty list"),
    "parameter": (lambda: (CELL, "wheel"), TORUS, ValueError,
                  "parameter 'wheel' does not exist in this MinimalCell; it has transition, reading, offset"),
    "path": (lambda: (CELL, "cell.transition"), TORUS, ValueError, "parameter 'cell.transition' does not exist"),
    "recurrent parameter": (lambda: recurrent(CELL, "weight_hh"), TORUS, ValueError, "it has transition, reading"),
    "method": (lambda: (CELL, "forward"), TORUS, ValueError, "parameter 'forward' does not exist"),
    "vector": (
        lambda: (CELL, "offset"),
        TORUS,
        ValueError,
        r"'offset' of the module must be \(n, m\) or .*, got shape \(5,\)",
    ),
    "integers": (lambda: (CELL, "steps"), TORUS, ValueError, "'steps' must be floating-point, got torch.int64"),
    "not square": (lambda: recurrent(CELL, "reading"), TORUS, ValueError,
                   r"parameter 'reading' must be \(gates \* n, n\) to be recurrent, got \(5, 3\)"),
    "lazy": (lambda: nn.LazyLinear(3), TORUS, ValueError, "parameter 'weight' has no shape yet: run the LazyLinear"),
    "number for a name": (lambda: recurrent(CELL, 3), TORUS, TypeError, "parameter must be a name, got 3"),
    "number in a list": (lambda: [LINEAR, 3], TORUS, TypeError, "module must be a torch.nn.Module, got int"),
    "string": (lambda: "rnn", TORUS, TypeError, "module must be a torch.nn.Module, got str"),
    "twice": (lambda: [LINEAR, (LINEAR, "weight")], TORUS, ValueError,
              "module must name every weight once, got Linear.weight, Linear.weight"),
    "tied": (shared, TORUS, ValueError, "module must name every weight once"),
    "two manifolds": (lambda: LINEAR, [Torus(2), Torus(2)], ValueError,
                      "manifold must be the same object for both sides of weight.*got Torus.* its sources and Torus"),
    "two costs": (lambda: LINEAR, [Modules([(TORUS, 1), (TORUS, None)], cost) for cost in (1.0, 2.0)],
                  ValueError, "one cost between modules on both sides of weight, got 1.0 for its sources and 2.0"),
    "too few": (lambda: chain(LINEAR, nn.Linear(3, 2)), [TORUS, TORUS], ValueError,
                "manifold must name one manifold for each of 3 sets of neurons, got 2"),
}  # fmt: skip


@pytest.mark.parametrize("name", BAD)
def test_bad_input_is_named(name):
    make, manifold, error, message = BAD[name]
    with pytest.raises(error, match=message):
        ModuliRegularizer(make(), manifold)


def test_the_norm_of_a_slice_is_what_the_magnitude_of_a_weight_is():
    conv, linear, sphere = nn.Conv2d(3, 5, 1), nn.Linear(3, 5), Sphere(2)
    with torch.no_grad():
        linear.weight.copy_(conv.weight[:, :, 0, 0])
    points = [sphere.sample(3, generator=generator(0)), sphere.sample(5, generator=generator(1))]
    law = inhibitors.Ricker()
    values = [ModuliRegularizer(layer, sphere, inhibitor=law, points=points)() for layer in (conv, linear)]
    torch.testing.assert_close(*values)
    assert isinstance(ModuliRegularizer(nn.Conv2d(1, 1, 1), sphere).inhibitor, DifferenceOfGaussians)
