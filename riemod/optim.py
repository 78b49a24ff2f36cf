"""Optimizers for a net and its embedding: AdamW or gradient descent for weights, Riemannian Adam for points."""

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor, nn

from riemod._checks import check_at_least, check_positive
from riemod.manifolds._geoopt import geoopt
from riemod.masks import attach_masks
from riemod.regularization.regularizer import ModuliRegularizer


class PointAdam(geoopt.optim.RiemannianAdam):
    """Runs geoopt's Riemannian Adam, and continues with the same bits after its state was loaded or copied.

    Loading or copying turns torch's step count into a float32 tensor, with which geoopt's bias corrections round
    differently; here it becomes an int again.
    """

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)
        for own in self.state.values():
            own["step"] = int(own["step"])

    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Take one step along the manifold; a closure is evaluated once, before the step."""
        return super().step(closure)


class JointOptimizer(torch.optim.Optimizer):
    """Joins several optimizers into one, with one list of parameter groups, one state and one state dict.

    Learning-rate schedulers work on it, because the parameter groups are those of the members themselves.

    Args:
        members: optimizers of disjoint parameters.

    Raises:
        ValueError: there is no member, or two members share a parameter.
    """

    def __init__(self, members: Iterable[torch.optim.Optimizer]) -> None:
        self.members = tuple(members)
        if not self.members:
            raise ValueError("members must hold at least one optimizer")
        super().__init__([group for member in self.members for group in member.param_groups], {})

    def add_param_group(self, param_group: dict[str, Any]) -> None:
        """Add a parameter group of a member, as torch's constructor does.

        A group of no member is refused, because no member would update it.

        Raises:
            ValueError: no member has that group.
        """
        if not any(param_group is group for member in self.members for group in member.param_groups):
            raise ValueError("param_group must be that of a member, got another: add it to a member before joining")
        super().add_param_group(param_group)

    @property
    def state(self) -> dict[Tensor, Any]:  # pyright: ignore[reportIncompatibleVariableOverride]
        """The state of every parameter, as the members hold it."""
        return {parameter: state for member in self.members for parameter, state in member.state.items()}

    @state.setter
    def state(self, value: Any) -> None:  # pyright: ignore[reportIncompatibleVariableOverride]
        """Ignore the empty state that torch's constructor sets; the members hold their own."""

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> Any:  # pyright: ignore[reportIncompatibleMethodOverride]
        """Take one step with every member; a closure is evaluated once, before the step."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for member in self.members:
            member.step()
        return loss

    def state_dict(self) -> dict[str, Any]:
        """Return {"members": [state dict of each member]}."""
        return {"members": [member.state_dict() for member in self.members]}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Load what `state_dict` returned.

        Raises:
            ValueError: it holds other members or groups; then nothing is loaded.
        """
        states = state_dict.get("members", ())
        if len(states) != len(self.members):
            raise ValueError(f"state_dict must hold {len(self.members)} members, got {len(states)}")
        for index, (member, state) in enumerate(zip(self.members, states, strict=True)):
            own, got = (
                [len(group["params"]) for group in groups] for groups in (member.param_groups, state["param_groups"])
            )
            if own != got:
                raise ValueError(f"state_dict must hold groups of {own} parameters for member {index}, got {got}")
        for member, state in zip(self.members, states, strict=True):
            member.load_state_dict(state)
        self.param_groups = [group for member in self.members for group in member.param_groups]

    def __getstate__(self) -> dict[str, Any]:
        # torch's own method leaves the members out.
        return {"defaults": self.defaults, "members": self.members, "param_groups": self.param_groups}


def riemannian_adam(
    model: nn.Module,
    moduli: ModuliRegularizer | None = None,
    *,
    lr: float = 1e-3,
    embedding_lr: float | None = None,
    betas: tuple[float, float] = (0.9, 0.999),
    eps: float = 1e-8,
    weight_decay: float = 0.0,
) -> JointOptimizer:
    """Build one optimizer: AdamW for the model's weights, Riemannian Adam for the neurons' points.

    Decoupled weight decay acts on the weights alone, never on points. Weights that masks (`riemod.masks`) hold at 0
    stay there: their gradients and their optimizer state are masked before each step.

    Args:
        model: its parameters are trained with `lr`, except points on a manifold, which are trained with `embedding_lr`.
        moduli: the regularizer whose points (and learned curvature) are trained; it may have nothing to learn, or be
            None.
        lr: learning rate of the weights, > 0.
        embedding_lr: learning rate of the points, the length of a first step in the manifold's unit; `lr` if not given.
        betas: decay rates of Adam's two moments, both in [0, 1).
        eps: added to the denominator, > 0.
        weight_decay: decoupled weight decay of the weights, >= 0.

    Raises:
        ValueError: a rate is out of its range, or there is nothing to train.

    Reference: Becigneul and Ganea 2019, https://arxiv.org/abs/1810.00760.

    >>> net = nn.RNN(2, 8)
    >>> optimizer = riemannian_adam(net, lr=1e-3)
    >>> len(optimizer.param_groups)
    1
    """
    embedding_lr = lr if embedding_lr is None else embedding_lr
    for name, rate in (("lr", lr), ("embedding_lr", embedding_lr), ("eps", eps)):
        check_positive(name, rate)
    if len(betas) != 2 or not all(0 <= beta < 1 for beta in betas):
        raise ValueError(f"betas must be two numbers in [0, 1), got {betas!r}")
    check_at_least("weight_decay", weight_decay, 0)
    weights, points = _split(model, moduli)
    members: list[torch.optim.Optimizer] = []
    if weights:
        members.append(
            torch.optim.AdamW(weights, lr=lr, betas=betas, eps=eps, weight_decay=weight_decay, fused=_fusable(weights))
        )
    if points:
        members.append(PointAdam(points, lr=embedding_lr, betas=betas, eps=eps))
    return _joined(members, model)


def sgd_with_riemannian_adam(
    model: nn.Module,
    moduli: ModuliRegularizer | None = None,
    *,
    lr: float = 1e-1,
    embedding_lr: float = 1e-3,
    weight_decay: float = 0.0,
) -> JointOptimizer:
    """Build one optimizer: gradient descent for the model's weights, Riemannian Adam for the neurons' points.

    A weight moves by w <- w - lr (gradient + weight_decay w). Points have no weight decay. Masks act as in
    `riemannian_adam`.

    Args:
        model: its parameters are trained with `lr`, except points on a manifold, which are trained with `embedding_lr`.
        moduli: the regularizer whose points (and learned curvature) are trained; it may have nothing to learn, or be
            None.
        lr: learning rate of the weights, > 0.
        embedding_lr: learning rate of the points, the length of a first step in the manifold's unit, > 0.
        weight_decay: weight decay of the weights, >= 0.

    Raises:
        ValueError: a rate is out of its range, or there is nothing to train.

    >>> [type(member).__name__ for member in sgd_with_riemannian_adam(nn.RNN(2, 8), lr=0.5).members]
    ['SGD']
    """
    for name, rate in (("lr", lr), ("embedding_lr", embedding_lr)):
        check_positive(name, rate)
    check_at_least("weight_decay", weight_decay, 0)
    weights, points = _split(model, moduli)
    members: list[torch.optim.Optimizer] = []
    if weights:
        members.append(torch.optim.SGD(weights, lr=lr, weight_decay=weight_decay, fused=_fusable(weights)))
    if points:
        members.append(PointAdam(points, lr=embedding_lr))
    return _joined(members, model)


def _split(model: nn.Module, moduli: ModuliRegularizer | None) -> tuple[list[nn.Parameter], list[nn.Parameter]]:
    """Return the weights to train, and the points and manifold parameters to train, each parameter once."""
    points = {id(p): p for p in moduli.parameters() if p.requires_grad} if moduli is not None else {}
    fixed = {id(p) for p in moduli.parameters()} if moduli is not None else set()
    weights = []
    for parameter in model.parameters():
        if not parameter.requires_grad or id(parameter) in fixed:
            continue
        if isinstance(parameter, geoopt.ManifoldParameter):
            points[id(parameter)] = parameter
        else:
            weights.append(parameter)
    return weights, list(points.values())


def _joined(members: list[torch.optim.Optimizer], model: nn.Module) -> JointOptimizer:
    if not members:
        raise ValueError("model must have parameters that require gradients, got none")
    optimizer = JointOptimizer(members)
    attach_masks(optimizer, model)
    return optimizer


def _fusable(parameters: list[nn.Parameter]) -> bool:
    return all(p.device.type in ("cpu", "cuda") and p.is_floating_point() for p in parameters)
