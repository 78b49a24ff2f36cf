"""Costs that control for geometry: the mean of the geometric costs, or the same costs without their order.

Each is a cost object for `ModuliRegularizer(..., costs=...)`; a suite takes one by the name of its arm (`by_name`). All
arms draw the same points from the same generator. The costs of a control do not follow learned points: to match an arm
that learned its points, hand the control that arm's `points`.
"""

from abc import abstractmethod

import numpy as np
import torch
from torch import Tensor

from riemod._checks import check_choice, check_integer
from riemod.regularization.budget import cheap_share, match_budget
from riemod.regularization.costs import Costs, FixedCosts, Geometric, Terms, check_recurrent, geometric_rows
from riemod.regularization.inhibitors import CostLaw

__all__ = [
    "ARMS",
    "L1",
    "Geometric",
    "Mean",
    "Redrawn",
    "Shuffled",
    "ShuffledEntries",
    "Zero",
    "by_name",
    "cheap_share",
    "match_budget",
]


class Zero(Costs):
    """Costs c_jk = 0: the points are there, for analysis, and cost nothing.

    Raises:
        ValueError: from the regularizer, if it learns points or holds a weight that is not recurrent.

    >>> from riemod.manifolds import Torus
    >>> from riemod.regularization import ModuliRegularizer
    >>> ModuliRegularizer(torch.nn.RNN(2, 16), Torus(2), strength=3.0, costs=Zero())().item()
    0.0
    """

    def penalty(self, terms: Terms, moving: bool) -> Tensor:
        return self._connections[0].weight.tensor.new_zeros(())

    def rows(self, layer: int, first: int, last: int) -> Tensor:
        weight = self._connections[layer].weight
        return weight.tensor.new_zeros(last - first, weight.neurons)

    def _prepare(self, inhibitor: CostLaw, generator: torch.Generator | None) -> None:
        check_recurrent(self, self._connections)


class Mean(FixedCosts):
    """Costs c_jk = c, one number a weight: the mean of the geometric costs f(d(x_j, x_k)) over all (j, k). Matched L1.

    Under a `Signed` law c is the mean over both signs too, (mean f+ + mean f-) / 2: the mean cost of a weight if both
    signs are equally frequent and have nothing to do with distance.

    The L1 arm of https://arxiv.org/abs/2406.06290 is not matched: it has c = 1 (`L1`), against a mean of 66 for its
    torus.

    Raises:
        ValueError: from the regularizer, if it learns points or holds a weight that is not recurrent.

    >>> from riemod.manifolds import Torus
    >>> from riemod.regularization import ModuliRegularizer
    >>> rnn, seed = torch.nn.RNN(2, 16), torch.Generator().manual_seed
    >>> moduli = ModuliRegularizer(rnn, Torus(2), generator=seed(0))
    >>> control = ModuliRegularizer(rnn, Torus(2), costs=Mean(), generator=seed(0))
    >>> bool(torch.isclose(control.coefficients().mean(), moduli.coefficients().mean()))
    True
    """

    means: Tensor

    def rows(self, layer: int, first: int, last: int) -> Tensor:
        return self.means[layer].repeat(last - first, self._connections[layer].weight.neurons)

    def _costs(self, layer: int) -> Tensor:
        return self.means[layer]

    def _prepare(self, inhibitor: CostLaw, generator: torch.Generator | None) -> None:
        check_recurrent(self, self._connections)
        means = [
            geometric_rows(connection, inhibitor, 0, connection.weight.neurons).mean(dtype=torch.float64)
            for connection in self._connections
        ]
        self.register_buffer("means", torch.stack(means).to(self._connections[0].weight.tensor))


class L1(FixedCosts):
    """Costs c_jk = 1 whatever the manifold: plain L1, the unmatched L1 arm of https://arxiv.org/abs/2406.06290.

    Raises:
        ValueError: from the regularizer, if it learns points or holds a weight that is not recurrent.

    >>> from riemod.manifolds import Torus
    >>> from riemod.regularization import ModuliRegularizer
    >>> rnn = torch.nn.RNN(2, 16)
    >>> control = ModuliRegularizer(rnn, Torus(2), strength=3.0, costs=L1())
    >>> bool(torch.isclose(control(), 3 * rnn.weight_hh_l0.abs().mean()))
    True
    """

    def rows(self, layer: int, first: int, last: int) -> Tensor:
        weight = self._connections[layer].weight
        return weight.tensor.new_ones(last - first, weight.neurons)

    def _costs(self, layer: int) -> Tensor:
        return self._connections[layer].weight.tensor.new_ones(())

    def _prepare(self, inhibitor: CostLaw, generator: torch.Generator | None) -> None:
        check_recurrent(self, self._connections)


class _Rearranged(FixedCosts):
    """Holds the geometric costs of a weight's pairs in another order, as buffers."""

    def rows(self, layer: int, first: int, last: int) -> Tensor:
        return self._costs(layer)[first:last].clone()

    @torch.no_grad()
    def permute(self, layer: int, order: Tensor) -> None:
        costs = self._costs(layer)
        costs.copy_(costs[..., order, :][..., order])

    @abstractmethod
    def _order(self, costs: Tensor, generator: torch.Generator | None) -> Tensor:
        """Return (n, n) or (2, n, n) costs in their new order."""

    def _costs(self, layer: int) -> Tensor:
        return self.get_buffer(f"coefficients_{layer}")

    def _prepare(self, inhibitor: CostLaw, generator: torch.Generator | None) -> None:
        check_recurrent(self, self._connections)
        for layer, connection in enumerate(self._connections):
            costs = geometric_rows(connection, inhibitor, 0, connection.weight.neurons)
            self.register_buffer(f"coefficients_{layer}", self._order(costs, generator))


class Shuffled(_Rearranged):
    """Costs that are the geometric f(d(x_j, x_k)) permuted at random over a weight's pairs j < k.

    (k, j) gets what (j, k) gets, so that the costs stay symmetric; the diagonal stays where it is. (`ShuffledEntries`
    is the reference's control, which breaks both.) Under a `Signed` law the two costs of a pair move together. The
    costs are buffers, saved in the `state_dict`.

    Raises:
        ValueError: from the regularizer, if it learns points or holds a weight that is not recurrent.

    >>> from riemod.manifolds import Torus
    >>> from riemod.regularization import ModuliRegularizer
    >>> control = ModuliRegularizer(torch.nn.RNN(2, 16), Torus(2), costs=Shuffled())
    >>> torch.equal(control.coefficients(), control.coefficients().T)
    True
    """

    def _order(self, costs: Tensor, generator: torch.Generator | None) -> Tensor:
        n = costs.shape[-1]
        rows, columns = torch.triu_indices(n, n, 1, device=costs.device)
        order = _permutation(len(rows), costs, generator)
        upper = torch.zeros_like(costs)
        upper[..., rows, columns] = costs[..., rows, columns][..., order]
        return upper + upper.mT + torch.diag_embed(costs.diagonal(dim1=-2, dim2=-1))


class ShuffledEntries(_Rearranged):
    """Costs that are the geometric f(d(x_j, x_k)) permuted at random over all n^2 entries, as in the paper's own code.

    The costs are not symmetric, and what self-connections cost is spread over all: a difference to the geometric arm
    that `Shuffled` does not have. Under a `Signed` law the two costs of an entry move together.

    Raises:
        ValueError: from the regularizer, if it learns points or holds a weight that is not recurrent.

    >>> from riemod.manifolds import Torus
    >>> from riemod.regularization import ModuliRegularizer
    >>> control = ModuliRegularizer(torch.nn.RNN(2, 16), Torus(2), costs=ShuffledEntries())
    >>> torch.equal(control.coefficients(), control.coefficients().T)
    False
    """

    def _order(self, costs: Tensor, generator: torch.Generator | None) -> Tensor:
        n = costs.shape[-1]
        return costs.flatten(-2)[..., _permutation(n * n, costs, generator)].unflatten(-1, (n, n))


class Redrawn(Costs):
    """Geometric costs of points that are drawn anew each epoch: the same manifold and law, with nothing to settle into.

    `start_epoch(epoch)` draws them from the epoch and a seed, which is drawn at construction and saved in the
    `state_dict`, so that a resumed run sees the same points. The training loop calls it; before the first call the
    points are those of the geometric arm.

    Raises:
        ValueError: from the regularizer, if it learns points or holds a weight that is not recurrent.

    >>> from riemod.manifolds import Torus
    >>> from riemod.regularization import ModuliRegularizer
    >>> control = ModuliRegularizer(torch.nn.RNN(2, 16), Torus(2), costs=Redrawn())
    >>> control.start_epoch(0); first = control.points.clone()
    >>> control.start_epoch(1); torch.equal(control.points, first)
    False
    """

    seed: Tensor

    def __init__(self) -> None:
        super().__init__()
        self._geometric = Geometric()

    def penalty(self, terms: Terms, moving: bool) -> Tensor:
        return self._geometric.penalty(terms, moving)

    def rows(self, layer: int, first: int, last: int) -> Tensor:
        return self._geometric.rows(layer, first, last)

    def clear(self) -> None:
        self._geometric.clear()

    @torch.no_grad()
    def start_epoch(self, epoch: int) -> None:
        """Draw the points of an epoch.

        Raises:
            ValueError: for an epoch that is not an integer >= 0.
        """
        epoch = check_integer("epoch", epoch, least=0)
        state = np.random.SeedSequence((int(self.seed), epoch)).generate_state(1, np.uint64)
        generator = torch.Generator().manual_seed(int(state[0]) >> 1)
        for connection in self._connections:
            for embedding, _ in connection.rows:
                points = embedding.points
                drawn = embedding.manifold.sample(embedding.size, generator=generator, dtype=points.dtype)
                points.copy_(drawn)

    def _prepare(self, inhibitor: CostLaw, generator: torch.Generator | None) -> None:
        check_recurrent(self, self._connections)
        self._geometric.bind(self._connections, inhibitor)
        device = torch.device("cpu") if generator is None else generator.device
        self.register_buffer("seed", torch.randint(2**62, (), generator=generator, device=device).cpu())


ARMS: dict[str, type[Costs]] = {
    "moduli": Geometric,
    "none": Zero,
    "matched_l1": Mean,
    "l1": L1,
    "shuffled": Shuffled,
    "shuffled_entries": ShuffledEntries,
    "random_geometry": Redrawn,
}
"""The arms of an experiment by name: the geometric costs, and their controls."""


def by_name(name: str) -> Costs:
    """Make the cost object of the arm of that name, for `ModuliRegularizer(costs=...)`.

    Raises:
        ValueError: for an unknown name.

    >>> by_name("shuffled")
    Shuffled()
    """
    return ARMS[check_choice("arm", name, ARMS)]()


def _permutation(count: int, costs: Tensor, generator: torch.Generator | None) -> Tensor:
    device = torch.device("cpu") if generator is None else generator.device
    return torch.randperm(count, generator=generator, device=device).to(costs.device)
