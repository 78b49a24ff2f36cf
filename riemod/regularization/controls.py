"""Controls for the claim that geometry matters: the penalty's mean strength, or its coefficients, without its order.

Every arm is one call with the signature of `ModuliRegularizer`, so that a suite swaps arms by name (`by_name`), and
draws the same points from the same generator. The coefficients of a control do not follow learned points: to match an
arm whose points were learned, hand the control that arm's `points`.
"""

import numpy as np
import torch
from torch import Tensor

from riemod.regularization.budget import cheap_share, match_budget
from riemod.regularization.regularizer import ModuliRegularizer

__all__ = [
    "ARMS",
    "MatchedL1",
    "NoPenalty",
    "RandomGeometry",
    "Shuffled",
    "by_name",
    "cheap_share",
    "match_budget",
]


class NoPenalty(ModuliRegularizer):
    """R = 0: the points are there, for analysis, and cost nothing.

    Raises:
        ValueError: if `learn` is true, or as `ModuliRegularizer`.

    >>> from riemod.manifolds import Torus
    >>> NoPenalty(torch.nn.RNN(2, 16), Torus(2), strength=3.0)().item()
    0.0
    """

    def _prepare(self, generator: torch.Generator | None) -> None:
        _check_control(self)

    def forward(self) -> Tensor:
        return self.targets[0].weight.new_zeros(())

    def costs(self, layer: int, first: int, last: int) -> Tensor:
        target = self.targets[layer]
        return target.weight.new_zeros(last - first, target.neurons)


class MatchedL1(ModuliRegularizer):
    """R = sum_jk c |w_jk|^power with one c a layer, the mean of the geometric arm's f(d(x_j, x_k)) over all (j, k).

    Raises:
        ValueError: if `learn` is true, or as `ModuliRegularizer`.

    The L1 arm of https://arxiv.org/abs/2406.06290 is not matched: it has c = 1, against a mean of 66 for its torus.

    >>> from riemod.manifolds import Torus
    >>> rnn, seed = torch.nn.RNN(2, 16), torch.Generator().manual_seed
    >>> moduli = ModuliRegularizer(rnn, Torus(2), generator=seed(0))
    >>> moduli.detach()
    >>> control = MatchedL1(rnn, Torus(2), generator=seed(0))
    >>> bool(torch.isclose(control.coefficients().mean(), moduli.coefficients().mean()))
    True
    """

    means: Tensor

    def _prepare(self, generator: torch.Generator | None) -> None:
        _check_control(self)
        means = [_geometric(self, layer).mean(dtype=torch.float64) for layer in range(len(self.targets))]
        self.register_buffer("means", torch.stack(means).to(self.targets[0].weight))

    def forward(self) -> Tensor:
        return _penalty(self, list(self.means))

    def costs(self, layer: int, first: int, last: int) -> Tensor:
        return self.means[layer].repeat(last - first, self.targets[layer].neurons)


class Shuffled(ModuliRegularizer):
    """R = sum_jk c_jk |w_jk|^power, c the geometric arm's f(d(x_j, x_k)) permuted at random over a layer's pairs j < k.

    What j < k gets, (k, j) gets as well, so that c stays symmetric; the diagonal stays where it is. (The reference
    permutes all n^2 entries, which breaks both.) The coefficients are a buffer, saved in the `state_dict`.

    Raises:
        ValueError: if `learn` is true, or as `ModuliRegularizer`.

    >>> from riemod.manifolds import Torus
    >>> control = Shuffled(torch.nn.RNN(2, 16), Torus(2), generator=torch.Generator().manual_seed(0))
    >>> torch.equal(control.coefficients(), control.coefficients().T)
    True
    """

    def _prepare(self, generator: torch.Generator | None) -> None:
        _check_control(self)
        for layer in range(len(self.targets)):
            shuffled = _symmetric_shuffle(_geometric(self, layer), generator)
            self.register_buffer(f"coefficients_{layer}", shuffled)

    def forward(self) -> Tensor:
        return _penalty(self, [self._layer_coefficients(layer) for layer in range(len(self.targets))])

    def coefficients(self, layer: int = 0) -> Tensor:
        return self._layer_coefficients(layer).clone()

    def costs(self, layer: int, first: int, last: int) -> Tensor:
        return self._layer_coefficients(layer)[first:last]

    def _layer_coefficients(self, layer: int) -> Tensor:
        return self.get_buffer(f"coefficients_{layer}")


class RandomGeometry(ModuliRegularizer):
    """Eq. 6 with points drawn anew each epoch: the same manifold and law, and no geometry to settle into.

    `start_epoch(epoch)` draws them, from a seed that is drawn at construction, kept in the `state_dict`, and from the
    epoch alone, so that a resumed run sees the same points. The training loop calls it; before the first call the
    points are those of the geometric arm.

    Raises:
        ValueError: if `learn` is true, or as `ModuliRegularizer`.

    >>> from riemod.manifolds import Torus
    >>> control = RandomGeometry(torch.nn.RNN(2, 16), Torus(2), generator=torch.Generator().manual_seed(0))
    >>> control.start_epoch(0); first = control.points.clone()
    >>> control.start_epoch(1); torch.equal(control.points, first)
    False
    """

    seed: Tensor

    def _prepare(self, generator: torch.Generator | None) -> None:
        _check_control(self)
        device = torch.device("cpu") if generator is None else generator.device
        self.register_buffer("seed", torch.randint(2**62, (), generator=generator, device=device).cpu())

    @torch.no_grad()
    def start_epoch(self, epoch: int) -> None:
        """Draw the points of that epoch.

        Raises:
            ValueError: for an epoch that is not an integer >= 0.
        """
        if isinstance(epoch, bool) or not isinstance(epoch, int) or epoch < 0:
            raise ValueError(f"epoch must be an integer >= 0, got {epoch!r}")
        state = np.random.SeedSequence((int(self.seed), epoch)).generate_state(1, np.uint64)
        generator = torch.Generator().manual_seed(int(state[0]) >> 1)
        for layer in range(len(self.targets)):
            for embedding in self.layer_embeddings(layer):
                points = embedding.points
                drawn = embedding.manifold.sample(embedding.size, generator=generator, dtype=points.dtype)
                points.copy_(drawn)


ARMS: dict[str, type[ModuliRegularizer]] = {
    "moduli": ModuliRegularizer,
    "none": NoPenalty,
    "matched_l1": MatchedL1,
    "shuffled": Shuffled,
    "random_geometry": RandomGeometry,
}
"""The arms of an experiment by name: the geometric one, and its controls."""


def by_name(name: str) -> type[ModuliRegularizer]:
    """The arm of that name, to be called as `ModuliRegularizer` is.

    Raises:
        ValueError: for an unknown name.

    >>> by_name("shuffled").__name__
    'Shuffled'
    """
    if name not in ARMS:
        raise ValueError(f"arm must be one of {', '.join(ARMS)}, got {name!r}")
    return ARMS[name]


def _check_control(control: ModuliRegularizer) -> None:
    if any(side.sources != side.targets for side in control.sides):
        raise ValueError(
            f"module must hold recurrent weights alone for {type(control).__name__}: a control has one set of neurons"
        )
    if control.learn:
        raise ValueError(
            f"learn must be False for {type(control).__name__}: a control's coefficients do not follow its points; "
            "to match an arm that learned them, pass its points"
        )


def _geometric(control: ModuliRegularizer, layer: int) -> Tensor:
    """(n, n) coefficients that the geometric arm has at the control's points."""
    return ModuliRegularizer.costs(control, layer, 0, control.targets[layer].neurons)


def _penalty(control: ModuliRegularizer, costs: list[Tensor]) -> Tensor:
    """strength * the sum over layers of Eq. 6, from (n, n) costs, or one number, for each layer."""
    layers = []
    for target, cost in zip(control.targets, costs, strict=True):
        weight = target.weight
        raised = weight.abs() if control.power == 1 else weight.abs() ** control.power
        total = (raised.unflatten(0, (-1, target.neurons)) * cost).sum()
        layers.append(total / weight.numel() if control.reduction == "mean" else total)
    return control.strength * torch.stack(layers).sum()


def _symmetric_shuffle(costs: Tensor, generator: torch.Generator | None) -> Tensor:
    n = len(costs)
    rows, columns = torch.triu_indices(n, n, 1, device=costs.device)
    device = torch.device("cpu") if generator is None else generator.device
    order = torch.randperm(len(rows), generator=generator, device=device).to(costs.device)
    upper = torch.zeros_like(costs)
    upper[rows, columns] = costs[rows, columns][order]
    return upper + upper.T + costs.diagonal().diag()
