"""Optimizers for a net and its embedding: torch's fused AdamW moves the weights, geoopt's RiemannianAdam the points."""

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor, nn

from riemod._checks import check_positive
from riemod.manifolds._geoopt import geoopt
from riemod.masks import attach_masks
from riemod.regularization.regularizer import ModuliRegularizer


class PointAdam(geoopt.optim.RiemannianAdam):
    """geoopt's Riemannian Adam, which goes on to the same bits when its state was loaded or copied.

    Torch's Adam makes the count of steps a float32 tensor then, in which geoopt's bias corrections round otherwise.
    """

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)
        for own in self.state.values():
            own["step"] = int(own["step"])

    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """One step along the manifold; a closure is evaluated once, before."""
        return super().step(closure)


class JointOptimizer(torch.optim.Optimizer):
    """Several optimizers that step together and look like one: one list of parameter groups, one state, one state dict.

    Learning-rate schedulers work on it, since the parameter groups are those of the members themselves.

    Args:
        members: optimizers of disjoint parameters.

    Raises:
        ValueError: if there is none.
    """

    def __init__(self, members: Iterable[torch.optim.Optimizer]) -> None:
        self.members = tuple(members)
        if not self.members:
            raise ValueError("members must hold at least one optimizer")
        super().__init__([group for member in self.members for group in member.param_groups], {})

    def add_param_group(self, param_group: dict[str, Any]) -> None:
        """Take up a group of a member, as torch's constructor does; nobody would step any other.

        Raises:
            ValueError: if no member has that group.
        """
        if not any(param_group is group for member in self.members for group in member.param_groups):
            raise ValueError("param_group must be that of a member: add it to one before they are joined")
        super().add_param_group(param_group)

    @property
    def state(self) -> dict[Tensor, Any]:  # pyright: ignore[reportIncompatibleVariableOverride]
        """The state of every parameter, as the members keep it."""
        return {parameter: state for member in self.members for parameter, state in member.state.items()}

    @state.setter
    def state(self, value: Any) -> None:  # pyright: ignore[reportIncompatibleVariableOverride]
        """Torch's constructor sets an empty state; the members keep their own."""

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> Any:  # pyright: ignore[reportIncompatibleMethodOverride]
        """One step of every member; a closure is evaluated once, before."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for member in self.members:
            member.step()
        return loss

    def state_dict(self) -> dict[str, Any]:
        """{"members": [state dict of each]}."""
        return {"members": [member.state_dict() for member in self.members]}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take over what `state_dict` returned.

        Raises:
            ValueError: if it holds other members or groups; then nothing is taken over.
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
        # Torch's own leaves out whatever it does not know, the members too.
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
    """AdamW for the model's weights and Riemannian Adam for the neurons' points, as one optimizer.

    Weight decay (decoupled) acts on the weights alone, never on points. Weights that riemod's pruning masks hold at
    zero stay there: their gradients and their optimizer state are masked before each step.

    Args:
        model: its parameters are trained, but for points on a manifold, which follow `embedding_lr`.
        moduli: the regularizer whose points (and learned curvature) are trained; None, or one with nothing to learn.
        lr: learning rate of the weights, > 0.
        embedding_lr: learning rate of the points in units of the manifold's length a step; `lr` if not given.
        betas: decay rates of Adam's two moments, both in [0, 1).
        eps: added to the denominator, > 0.
        weight_decay: decoupled weight decay of the weights, >= 0.

    Raises:
        ValueError: if a rate is out of its range, or there is nothing to train.

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
    _check_decay(weight_decay)
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
    """w <- w - lr (gradient + weight_decay w) for the model's weights, Riemannian Adam for the neurons' points.

    Weight decay and pruning masks act as in `riemannian_adam`.

    Args:
        model: its parameters are trained, but for points on a manifold, which follow `embedding_lr`.
        moduli: the regularizer whose points (and learned curvature) are trained; None, or one with nothing to learn.
        lr: learning rate of the weights, > 0.
        embedding_lr: learning rate of the points in units of the manifold's length a step, > 0.
        weight_decay: weight decay of the weights, >= 0.

    Raises:
        ValueError: if a rate is out of its range, or there is nothing to train.

    >>> [type(member).__name__ for member in sgd_with_riemannian_adam(nn.RNN(2, 8), lr=0.5).members]
    ['SGD']
    """
    for name, rate in (("lr", lr), ("embedding_lr", embedding_lr)):
        check_positive(name, rate)
    _check_decay(weight_decay)
    weights, points = _split(model, moduli)
    members: list[torch.optim.Optimizer] = []
    if weights:
        members.append(torch.optim.SGD(weights, lr=lr, weight_decay=weight_decay, fused=_fusable(weights)))
    if points:
        members.append(PointAdam(points, lr=embedding_lr))
    return _joined(members, model)


def _check_decay(weight_decay: float) -> None:
    if not 0 <= weight_decay < float("inf"):
        raise ValueError(f"weight_decay must be non-negative and finite, got {weight_decay!r}")


def _split(model: nn.Module, moduli: ModuliRegularizer | None) -> tuple[list[nn.Parameter], list[nn.Parameter]]:
    """The weights to train, and the points and manifold parameters to train, each parameter once."""
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
