"""Optimizers for a net and its embedding: AdamW or gradient descent for weights, Riemannian Adam for points."""

import warnings
from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor, nn

from riemod._checks import (
    check_at_least,
    check_items,
    check_mapping,
    check_module,
    check_positive,
    check_type,
    is_number,
    kind_of,
    shown,
)
from riemod.manifolds._geoopt import geoopt
from riemod.masks import attach_masks
from riemod.regularization.regularizer import ModuliRegularizer

Trained = nn.Module | Iterable[Tensor] | Iterable[tuple[str, Tensor]] | Iterable[dict[str, Any]]

# What torch's schedulers call the momentum that they cycle: that of gradient descent, and Adam's first beta.
_MOMENTA = {"momentum", "betas"}


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

    Learning-rate schedulers work on it, because the parameter groups are those of the members themselves. Its
    `defaults` are those that all members have, with the values of the first, so that `OneCycleLR` and `CyclicLR` find
    the momentum (`betas`) that they cycle in all groups. Where some members have a momentum and the others `betas`,
    as gradient descent beside Adam, these schedulers set `group["momentum"]` in all groups, and a step of a member
    with `betas` takes it as its first beta. Where a member has neither, they refuse it: use `cycle_momentum=False`.

    Args:
        members: optimizers of disjoint parameters.

    Raises:
        ValueError: there is no member, or two members share a parameter.
    """

    def __init__(self, members: Iterable[torch.optim.Optimizer]) -> None:
        self.members = tuple(check_items("members", members, "optimizers"))
        for member in self.members:
            check_type("members", member, torch.optim.Optimizer, "torch.optim.Optimizers")
        if not self.members:
            raise ValueError("members must hold at least one optimizer, got none")
        held = [id(p) for member in self.members for group in member.param_groups for p in group["params"]]
        if len(held) != len(set(held)):
            raise ValueError("members must be disjoint, but some parameters appear in more than one parameter group")
        super().__init__([group for member in self.members for group in member.param_groups], {})
        shared = set.intersection(*(set(member.defaults) for member in self.members))
        self.defaults = {key: value for key, value in self.members[0].defaults.items() if key in shared}
        if not shared & _MOMENTA and all(_MOMENTA & member.defaults.keys() for member in self.members):
            self.defaults["momentum"] = next(m.defaults["momentum"] for m in self.members if "momentum" in m.defaults)

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
            _take_momentum(member)
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
        states = check_mapping("state_dict", state_dict, "a state dict").get("members", ())
        if not isinstance(states, list | tuple) or not all(_is_state(state) for state in states):
            raise TypeError(f"state_dict must hold a list of state dicts as 'members', got {kind_of(states)}")
        if len(states) != len(self.members):
            raise ValueError(f"state_dict must hold {len(self.members)} members, got {len(states)}")
        for index, (member, state) in enumerate(zip(self.members, states, strict=True)):
            own, got = (
                [len(group["params"]) for group in groups] for groups in (member.param_groups, state["param_groups"])
            )
            if own != got:
                raise ValueError(f"state_dict must hold groups of {own} parameters for member {index}, got {got}")
        for member, state in zip(self.members, states, strict=True):
            names = [group.get("name") for group in member.param_groups]
            member.load_state_dict(state)
            for group, name in zip(member.param_groups, names, strict=True):
                if name is not None:
                    # States that were saved before groups had names hold none.
                    group.setdefault("name", name)
        self.param_groups = [group for member in self.members for group in member.param_groups]

    def __getstate__(self) -> dict[str, Any]:
        # torch's own method leaves the members out.
        return {"defaults": self.defaults, "members": self.members, "param_groups": self.param_groups}


def _take_momentum(member: torch.optim.Optimizer) -> None:
    """Make the momentum that a scheduler has set for a group the first of its betas, if its member has betas alone."""
    if _MOMENTA & member.defaults.keys() == {"betas"}:
        for group in member.param_groups:
            if "momentum" in group:
                group["betas"] = (group["momentum"], *group["betas"][1:])


def riemannian_adam(
    model: Trained,
    moduli: ModuliRegularizer | None = None,
    *,
    lr: float = 1e-3,
    embedding_lr: float | None = None,
    betas: tuple[float, float] = (0.9, 0.999),
    eps: float = 1e-8,
    weight_decay: float = 0.0,
    masked: nn.Module | None = None,
) -> JointOptimizer:
    """Build one optimizer: AdamW for the model's weights, Riemannian Adam for the neurons' points.

    Decoupled weight decay acts on the weights alone, never on points. Weights that masks (`riemod.masks`) hold at 0
    stay there (`attach_masks`), also under copies of the optimizer.

    Each parameter group has a `"name"`: the group of the points is "points", and that of the weights is "weights", or
    "weights 0", "weights 1", ... if there are several. Code that sets a learning rate by hand for all groups also sets
    that of the points: `group["lr"] = lr if group["name"] != "points" else embedding_lr`. In the same way a scheduler
    with one maximal rate (`OneCycleLR(optimizer, max_lr=1e-2)`) gives it to the points too; a list gives each group its
    own, in the order of `param_groups`.

    Args:
        model: its parameters are trained with `lr`, except points on a manifold, which are trained with `embedding_lr`.
            Or what torch's optimizers take: parameters, (name, parameter) pairs, or dictionaries of parameter groups,
            whose options (`lr`, `betas`, `eps`, `weight_decay`) override those below for their weights. So biases train
            without decay: `[{"params": weights}, {"params": biases, "weight_decay": 0}]`. Points among them are still
            trained with `embedding_lr`.
        moduli: the regularizer whose points (and learned curvature) are trained; it may have nothing to learn, or be
            None.
        lr: learning rate of the weights, > 0.
        embedding_lr: learning rate of the points, the length of a first step in the manifold's unit; `lr` if not given.
        betas: decay rates of Adam's two moments, both in [0, 1).
        eps: added to the denominator, > 0.
        weight_decay: decoupled weight decay of the weights, >= 0.
        masked: the module whose masks are held; the model itself if a model is given. Parameters do not know their
            masks, so without it none are held when `model` is a list.

    Raises:
        TypeError: `model` is neither a module nor an iterable of parameters or groups.
        ValueError: a rate is out of its range, or there is nothing to train.

    Warns:
        UserWarning: no layer that `moduli` penalizes is a part of `model`, as when one of them was copied alone.

    Reference: Becigneul and Ganea 2019, https://arxiv.org/abs/1810.00760.

    >>> net = nn.RNN(2, 8)
    >>> optimizer = riemannian_adam(net, lr=1e-3)
    >>> [group["name"] for group in optimizer.param_groups]
    ['weights']
    >>> decayed, biases = [net.weight_ih_l0, net.weight_hh_l0], [net.bias_ih_l0, net.bias_hh_l0]
    >>> groups = [{"params": decayed, "weight_decay": 0.1}, {"params": biases}]
    >>> [(group["name"], group["weight_decay"]) for group in riemannian_adam(groups, masked=net).param_groups]
    [('weights 0', 0.1), ('weights 1', 0.0)]
    """
    embedding_lr = lr if embedding_lr is None else embedding_lr
    for name, rate in (("lr", lr), ("embedding_lr", embedding_lr), ("eps", eps)):
        check_positive(name, rate)
    pair = check_items("betas", betas, "two numbers in [0, 1)")
    if len(pair) != 2 or not all(is_number(beta) and 0 <= beta < 1 for beta in pair):
        raise ValueError(f"betas must be two numbers in [0, 1), got {shown(betas)}")
    betas = float(pair[0]), float(pair[1])
    check_at_least("weight_decay", weight_decay, 0)
    groups, points = _split(model, moduli)
    members: list[torch.optim.Optimizer] = []
    if groups:
        fused = _fusable(groups)
        members.append(torch.optim.AdamW(groups, lr=lr, betas=betas, eps=eps, weight_decay=weight_decay, fused=fused))
    if points:
        members.append(PointAdam(_points_group(points), lr=embedding_lr, betas=betas, eps=eps))
    return _joined(members, model, masked)


def sgd_with_riemannian_adam(
    model: Trained,
    moduli: ModuliRegularizer | None = None,
    *,
    lr: float = 1e-1,
    embedding_lr: float = 1e-3,
    weight_decay: float = 0.0,
    masked: nn.Module | None = None,
) -> JointOptimizer:
    """Build one optimizer: gradient descent for the model's weights, Riemannian Adam for the neurons' points.

    A weight moves by w <- w - lr (gradient + weight_decay w). Points have no weight decay. Masks, parameter groups and
    their names are as in `riemannian_adam`. `OneCycleLR` and `CyclicLR` by their defaults give momentum to plain
    gradient descent, as they do for `torch.optim.SGD`, and with it the first beta of the points; with
    `cycle_momentum=False` weights move as above.

    Args:
        model: its parameters are trained with `lr`, except points on a manifold, which are trained with `embedding_lr`;
            or parameters or parameter groups, as for `riemannian_adam`.
        moduli: the regularizer whose points (and learned curvature) are trained; it may have nothing to learn, or be
            None.
        lr: learning rate of the weights, > 0.
        embedding_lr: learning rate of the points, the length of a first step in the manifold's unit, > 0.
        weight_decay: weight decay of the weights, >= 0.
        masked: the module whose masks are held; the model itself if a model is given.

    Raises:
        TypeError: `model` is neither a module nor an iterable of parameters or groups.
        ValueError: a rate is out of its range, or there is nothing to train.

    >>> [type(member).__name__ for member in sgd_with_riemannian_adam(nn.RNN(2, 8), lr=0.5).members]
    ['SGD']
    """
    for name, rate in (("lr", lr), ("embedding_lr", embedding_lr)):
        check_positive(name, rate)
    check_at_least("weight_decay", weight_decay, 0)
    groups, points = _split(model, moduli)
    members: list[torch.optim.Optimizer] = []
    if groups:
        members.append(torch.optim.SGD(groups, lr=lr, weight_decay=weight_decay, fused=_fusable(groups)))
    if points:
        members.append(PointAdam(_points_group(points), lr=embedding_lr))
    return _joined(members, model, masked)


def _split(model: Trained, moduli: ModuliRegularizer | None) -> tuple[list[dict[str, Any]], list[Tensor]]:
    """Return groups of weights to train, and the points and manifold parameters to train, each parameter once."""
    if moduli is not None:
        what = "a ModuliRegularizer or None"
        # A compiled or a wrapped regularizer is a module that holds it.
        regularizers = [
            part
            for part in check_type("moduli", moduli, nn.Module, what).modules()
            if isinstance(part, ModuliRegularizer)
        ]
        if not regularizers:
            raise TypeError(f"moduli must be {what}, got {kind_of(moduli)}")
        if isinstance(model, nn.Module):
            _warn_of_another_model(model, regularizers)
    points: dict[int, Tensor] = {id(p): p for p in moduli.parameters() if p.requires_grad} if moduli is not None else {}
    fixed = {id(p) for p in moduli.parameters()} if moduli is not None else set()
    groups = []
    for group in _groups(model):
        weights = []
        for parameter in group["params"]:
            if id(parameter) in fixed or not parameter.requires_grad:
                continue
            if isinstance(parameter, geoopt.ManifoldParameter):
                points[id(parameter)] = parameter
            else:
                weights.append(parameter)
        if weights:
            groups.append({**group, "params": weights})
    for index, group in enumerate(groups):
        group.setdefault("name", "weights" if len(groups) == 1 else f"weights {index}")
    return groups, list(points.values())


def _warn_of_another_model(model: nn.Module, regularizers: list[ModuliRegularizer]) -> None:
    """Warn if none of the penalized layers is a part of the model, as after it was copied or compressed alone."""
    weights = [weight for moduli in regularizers for weight in moduli.weights]
    if not {weight.module for weight in weights} & set(model.modules()):
        weight = weights[0]
        warnings.warn(
            f"moduli penalizes {weight.parameter} of a {type(weight.module).__name__} that is no part of model, which "
            "the penalty does not reach: copy model and regularizer together, or build the regularizer on this model",
            stacklevel=4,
        )


def _groups(model: Trained) -> list[dict[str, Any]]:
    """Return parameter groups, as torch's optimizers read them from an iterable."""
    if isinstance(model, nn.Module):
        return [{"params": list(model.parameters())}]
    if isinstance(model, Tensor | str | bytes | dict) or not isinstance(model, Iterable):
        raise TypeError(
            "model must be a torch.nn.Module, or an iterable of parameters or of parameter groups, got "
            f"{type(model).__name__}"
        )
    items = list(model)
    if not any(isinstance(item, dict) for item in items):
        items = [{"params": items}]
    groups = []
    for item in items:
        if not isinstance(item, dict) or "params" not in item:
            raise TypeError(f"model must hold parameter groups with the key 'params' alone, got {item!r:.80}")
        held = [item["params"]] if isinstance(item["params"], Tensor) else list(item["params"])
        for one in held:
            if not isinstance(one[1] if isinstance(one, tuple) and len(one) == 2 else one, Tensor):
                raise TypeError(f"model must hold tensors as parameters, got {type(one).__name__}")
        # The names are torch's for its own reports; the groups here have names of their own.
        groups.append({**item, "params": [one[1] if isinstance(one, tuple) else one for one in held]})
    return groups


def _is_state(state: Any) -> bool:
    groups = state.get("param_groups") if isinstance(state, dict) else None
    return isinstance(groups, list) and all(isinstance(group, dict) and "params" in group for group in groups)


def _points_group(points: list[Tensor]) -> list[dict[str, Any]]:
    return [{"params": points, "name": "points"}]


def _joined(members: list[torch.optim.Optimizer], model: Trained, masked: nn.Module | None) -> JointOptimizer:
    if not members:
        raise ValueError("model must have parameters that require gradients, got none")
    optimizer = JointOptimizer(members)
    holder = model if masked is None and isinstance(model, nn.Module) else masked
    if holder is not None:
        check_module("masked", holder)
        attach_masks(optimizer, holder)
    return optimizer


def _fusable(groups: list[dict[str, Any]]) -> bool:
    parameters = (parameter for group in groups for parameter in group["params"])
    return all(p.device.type in ("cpu", "cuda") and p.is_floating_point() for p in parameters)
