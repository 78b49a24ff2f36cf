"""Notices learned points that an optimizer takes off their manifold, and learned points that no optimizer moves."""

import warnings
from collections.abc import Sequence
from typing import Any

from torch import Tensor

from riemod._torch import version_of
from riemod.regularization.embedding import NeuronEmbedding

# Steps of the weights without one of the points after which points are taken for forgotten.
PATIENCE = 20
# On a GPU a look at the numbers waits for the device: it comes at the start of an epoch, or else after so many changes.
_LOOK_EVERY = 100
_ADVICE = (
    "Optimizers that do not know manifolds take points off them: train the points by "
    "riemod.optim.riemannian_adam(model, moduli) or an optimizer of geoopt's"
)


class PointWatch:
    """Checks learned points each time they have changed, and warns once if only the weights ever do.

    A copy starts anew; nothing is saved.
    """

    def __init__(self) -> None:
        self._points: list[object] = []
        self._weights: list[Tensor] = []
        self._held: dict[NeuronEmbedding, Tensor] = {}
        self._told_of_epochs = False
        self._changes = 0
        self._waited = 0
        self._settled = False
        self._complained = False

    def check(self, embeddings: Sequence[NeuronEmbedding], weights: Sequence[Tensor], patience: int = PATIENCE) -> None:
        """Look at the points before they are used.

        Args:
            embeddings: of the regularizer; those that are learned are looked at.
            weights: the penalized parameters.
            patience: calls with changed weights and unchanged points after which to warn.

        Raises:
            ValueError: if finite points are no longer on their manifold; on a GPU later.
        """
        learned = [embedding for embedding in embeddings if embedding.points.requires_grad]
        if not learned or learned[0].points.is_inference():
            return
        before, self._points = self._points, [_state(embedding.points) for embedding in learned]
        if before == self._points:
            self._wait(learned, weights, patience)
            return
        if before:
            self._settled = True
        else:
            self._weights = [_sample(weight) for weight in weights]
        self._changes += 1
        for embedding in learned:
            if embedding.points.device.type == "cpu":
                self._look(embedding)
            else:
                self._remember(embedding)
        if not self._told_of_epochs and self._changes % _LOOK_EVERY == 0:
            self._look_at_remembered()

    def start_epoch(self) -> None:
        """Look at what is on a GPU, where it is waited for anyway; from now on only then.

        Raises:
            ValueError: as `check`.
        """
        self._told_of_epochs = True
        self._look_at_remembered()

    def _remember(self, embedding: NeuronEmbedding) -> None:
        points = embedding.points.detach()
        # NaN shows in the penalty, and a training loop looks for it there.
        held = embedding.manifold.holds(points) | ~points.isfinite().all()
        earlier = self._held.get(embedding)
        self._held[embedding] = held if earlier is None else held & earlier

    def _look_at_remembered(self) -> None:
        held, self._held = self._held, {}
        for embedding, all_held in held.items():
            if not bool(all_held):
                _check(embedding)
                raise ValueError(f"points were off {embedding.manifold} for some steps. {_ADVICE}")
            if bool(embedding.points.detach().isfinite().all()):
                self._complain(embedding)

    def _look(self, embedding: NeuronEmbedding) -> None:
        # As above.
        if bool(embedding.points.detach().isfinite().all()):
            _check(embedding)
            self._complain(embedding)

    def _wait(self, learned: Sequence[NeuronEmbedding], weights: Sequence[Tensor], patience: int) -> None:
        if self._settled:
            return
        # torch's fused optimizers do not count their writes as versions, so it takes a look at some of the numbers.
        before, self._weights = self._weights, [_sample(weight) for weight in weights]
        self._waited += not all(bool(old == new) for old, new in zip(before, self._weights, strict=True))
        if self._waited == patience:
            self._settled = True
            warnings.warn(
                f"points of {sum(embedding.size for embedding in learned)} neurons are to be learned, but stayed where "
                f"they are in {patience} steps of the weights: hand the regularizer to the optimizer, as in "
                "riemod.optim.riemannian_adam(model, moduli), or build it with learn=False",
                stacklevel=6,
            )

    def _complain(self, embedding: NeuronEmbedding) -> None:
        complaint = None if self._complained else embedding.manifold.complaint_while_learning(embedding.points)
        if complaint is not None:
            self._complained = True
            warnings.warn(f"learned points on {embedding.manifold}: {complaint}", stacklevel=6)

    def __getstate__(self) -> dict[str, Any]:
        return PointWatch().__dict__


def _state(tensor: Tensor) -> object:
    return tensor.data_ptr(), version_of(tensor)


def _sample(weight: Tensor) -> Tensor:
    flat = weight.detach().flatten()
    return flat[:: max(1, len(flat) // 256)].double().sum()


def _check(embedding: NeuronEmbedding) -> None:
    try:
        embedding.manifold.check_points(embedding.points)
    except ValueError as error:
        raise ValueError(f"{error}. {_ADVICE}") from error
