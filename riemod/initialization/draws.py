"""Draws of a model's weights: torch's own, orthogonal, identity, a non-normal chain, and one that reads the masks."""

from collections.abc import Callable
from typing import Protocol, runtime_checkable

import torch
from torch import Tensor, nn
from torch.nn import Module

from riemod._checks import check_choice, check_module, check_positive
from riemod.initialization.fresh import children_first, left_alone, reset_parameters
from riemod.initialization.spectrum import spectral_radius as radius_of
from riemod.masks import masked_parameters

GATED_RADIUS = 3**-0.5
"""Spectral radius of a dense n x n block drawn as torch does, uniformly on +-1/sqrt(n), for large n."""


@runtime_checkable
class Initializer(Protocol):
    """Describes a function that draws a model's weights in place; `lottery_ticket(initialize=...)` takes one."""

    def __call__(
        self, model: Module, *, generator: torch.Generator | None = None, skip: Module | None = None
    ) -> None: ...


def default(model: Module, *, generator: torch.Generator | None = None, skip: Module | None = None) -> None:
    """Draw each module as torch does (recurrent layers: uniform on +-1/sqrt(n)), then set w <- mask * w.

    Args:
        model: changed in place; parameters stay the same objects.
        generator: source of the draws; None draws from torch's global generator.
        skip: submodule that is left alone.

    Raises:
        TypeError: `model` is no module.
        ValueError: a submodule owns parameters and has no `reset_parameters`. Nothing was changed.

    >>> layer = nn.RNN(2, 4)
    >>> default(layer, generator=torch.Generator().manual_seed(0))
    >>> bool(layer.weight_hh_l0.abs().max() <= 0.5)
    True
    """
    reset_parameters(check_module("model", model), generator, skip=skip)
    _zero_pruned(model)


def orthogonal(
    model: Module, *, generator: torch.Generator | None = None, skip: Module | None = None, gain: float = 1.0
) -> None:
    """Set each recurrent block to W = gain * Q, Q uniform (Haar) on the orthogonal group; draw the rest as torch does.

    Args:
        model: changed in place. Masks are applied after the draw: a masked block is no longer orthogonal.
        generator: source of the draws; None draws from torch's global generator.
        skip: submodule that is left alone.
        gain: modulus of every eigenvalue of a full block, > 0.

    Raises:
        TypeError: `model` is no module.
        ValueError: `gain` is not positive, an LSTM projects its state, or as for `default`. Nothing was changed.

    Reference: Saxe et al. 2014, https://arxiv.org/abs/1312.6120.

    >>> layer = nn.GRU(2, 4)
    >>> orthogonal(layer, generator=torch.Generator().manual_seed(0))
    >>> block = layer.weight_hh_l0[:4]
    >>> bool(torch.allclose(block @ block.T, torch.eye(4), atol=1e-6))
    True
    """
    check_positive("gain", gain)
    _set_recurrent(model, generator, skip, lambda n: gain * _haar(n, generator))


def identity(
    model: Module, *, generator: torch.Generator | None = None, skip: Module | None = None, scale: float = 1.0
) -> None:
    """Set each recurrent block to W = scale * I; draw the rest as torch does.

    For a ReLU `nn.RNN` at scale 1 this is the IRNN.

    Args:
        model: changed in place.
        generator: source of the other draws; None draws from torch's global generator.
        skip: submodule that is left alone.
        scale: weight of each neuron on itself, > 0.

    Raises:
        TypeError: `model` is no module.
        ValueError: `scale` is not positive, an LSTM projects its state, or as for `default`. Nothing was changed.

    Reference: Le, Jaitly and Hinton 2015, https://arxiv.org/abs/1504.00941 (who also set the biases to 0).

    >>> layer = nn.RNN(2, 2)
    >>> identity(layer, scale=0.5)
    >>> layer.weight_hh_l0.tolist()
    [[0.5, 0.0], [0.0, 0.5]]
    """
    check_positive("scale", scale)
    _set_recurrent(model, generator, skip, lambda n: scale * torch.eye(n, dtype=torch.float64))


def nonnormal_chain(
    model: Module,
    *,
    generator: torch.Generator | None = None,
    skip: Module | None = None,
    scale: float = 0.5,
    chain: float = 0.5,
) -> None:
    """Set each recurrent block to an identity plus a feed-forward chain 0 -> 1 -> 2 -> ..., a non-normal matrix.

    W[j, k] = scale [j = k] + chain [j = k + 1]; the rest is drawn as torch does. A chain amplifies a signal before it
    decays, which preserves the most of it among linear nets with additive noise; the identity holds it. All eigenvalues
    are `scale`, and no vector grows by more than scale + chain a step. With the defaults nothing grows; they are not
    tuned. A sparse mask cuts the chain in most places.

    Args:
        model: changed in place.
        generator: source of the other draws; None draws from torch's global generator.
        skip: submodule that is left alone.
        scale: weight of each neuron on itself, > 0.
        chain: weight of each neuron on the next, > 0.

    Raises:
        TypeError: `model` is no module.
        ValueError: `scale` or `chain` is not positive, an LSTM projects its state, or as for `default`. Nothing was
            changed.

    Reference: Ganguli, Huh and Sompolinsky 2008, https://doi.org/10.1073/pnas.0804451105 (chains are optimal); Orhan
    and Pitkow 2020, https://arxiv.org/abs/1905.13715, and Orhan's note "Common initialization schemes for recurrent
    neural networks are likely suboptimal" (identity and chain).

    >>> layer = nn.RNN(2, 3)
    >>> nonnormal_chain(layer)
    >>> layer.weight_hh_l0.tolist()
    [[0.5, 0.0, 0.0], [0.5, 0.5, 0.0], [0.0, 0.5, 0.5]]
    """
    check_positive("scale", scale)
    check_positive("chain", chain)

    def block(n: int) -> Tensor:
        eye = torch.eye(n, dtype=torch.float64)
        return scale * eye + chain * eye.roll(1, dims=0).tril(-1)

    _set_recurrent(model, generator, skip, block)


def sparsity_aware(
    model: Module,
    *,
    generator: torch.Generator | None = None,
    skip: Module | None = None,
    spectral_radius: float | None = None,
    gain: float = 1.0,
) -> None:
    """Draw kept weights from N(0, gain^2 / m_j), m_j the inputs that row j keeps, and rescale recurrent blocks.

    Input matrices and `nn.Linear` weights have that variance. Each recurrent block (one for each gate of a GRU or LSTM)
    is drawn with gain 1 and multiplied by one number, so that the largest modulus of the *masked* block's eigenvalues
    is `spectral_radius`. A block whose mask leaves no cycle has radius 0 for any weights, and keeps the variance
    1 / m_j. Rows that keep nothing stay 0. A linear weight tied to an embedding is drawn as linear.

    Measured on tickets of the adding problem (128 ReLU neurons, `docs/results.md`): at 95 % and Adam at 1e-3, 9 of 9
    tickets train from trained masks, against 5 of 9 with torch's draw; at 98 % 9 of 9 against 0 of 9. For ReLU, GRU and
    LSTM layers three seeds showed no difference between radii from 0.5 to 1.5.

    Args:
        model: changed in place.
        generator: source of the draws; None draws from torch's global generator.
        skip: submodule that is left alone.
        spectral_radius: of every recurrent block, > 0. None takes 1 for `nn.RNN` and its cell, and 1/sqrt(3) for GRU
            and LSTM, the radius of a large dense block as torch draws it.
        gain: factor of the input and linear weights, > 0.

    Raises:
        TypeError: `model` is no module.
        ValueError: `gain` or `spectral_radius` is not positive, an LSTM projects its state, or as for `default`.
            Nothing was changed.

    Reference: variance by fan-in: He et al. 2015, https://arxiv.org/abs/1502.01852; radius: Jaeger 2001 (echo states).

    >>> layer = nn.RNN(2, 50)
    >>> sparsity_aware(layer, generator=torch.Generator().manual_seed(0))
    >>> round(torch.linalg.eigvals(layer.weight_hh_l0).abs().max().item(), 4)
    1.0
    """
    check_positive("gain", gain)
    if spectral_radius is not None:
        check_positive("spectral_radius", spectral_radius)
    layers = _drawn_layers(model, skip)
    reset_parameters(model, generator, skip=skip)
    masks = _masks(model)
    done: set[int] = set()
    for layer in layers:
        for name, weight in layer.named_parameters(recurse=False):
            if not name.startswith("weight") or id(weight) in done:
                continue
            done.add(id(weight))
            mask = masks.get(id(weight), torch.ones_like(weight, dtype=torch.bool)).cpu()
            if not name.startswith("weight_hh"):
                weight.detach().copy_(gain * _by_fan_in(mask, generator))
                continue
            usual = 1.0 if isinstance(layer, nn.RNN | nn.RNNCell) else GATED_RADIUS
            radius = usual if spectral_radius is None else spectral_radius
            for block, kept in zip(weight.detach().split(weight.shape[1]), mask.split(weight.shape[1]), strict=True):
                block.copy_(_with_radius(_by_fan_in(kept, generator), radius))
    _zero_pruned(model)


BY_NAME: dict[str, Initializer] = {
    "default": default,
    "orthogonal": orthogonal,
    "identity": identity,
    "nonnormal_chain": nonnormal_chain,
    "sparsity_aware": sparsity_aware,
}


def by_name(name: str) -> Initializer:
    """Return the draw of that name, with its default parameters.

    Raises:
        ValueError: the name is unknown.

    >>> by_name("default") is default
    True
    """
    return BY_NAME[check_choice("initializer", name, BY_NAME)]


def _drawn_layers(model: Module, skip: Module | None) -> list[Module]:
    """Return the recurrent layers, cells and linear layers of a model; raise if a recurrent matrix is not square."""
    modules = [module for _, module in children_first(check_module("model", model), "", left_alone(skip))]
    if any(isinstance(module, nn.RNNBase) and module.proj_size for module in modules):
        raise ValueError("model must not project its hidden state: nn.LSTM(proj_size=...) is not supported")
    return [module for module in modules if isinstance(module, nn.RNNBase | nn.RNNCellBase | nn.Linear)]


def _set_recurrent(
    model: Module, generator: torch.Generator | None, skip: Module | None, block_of: Callable[[int], Tensor]
) -> None:
    layers = _drawn_layers(model, skip)
    reset_parameters(model, generator, skip=skip)
    for layer in layers:
        for name, weight in layer.named_parameters(recurse=False):
            if name.startswith("weight_hh"):
                for block in weight.detach().split(weight.shape[1]):
                    block.copy_(block_of(weight.shape[1]))
    _zero_pruned(model)


def _normal(shape: tuple[int, ...], generator: torch.Generator | None) -> Tensor:
    device = "cpu" if generator is None else generator.device
    return torch.randn(shape, generator=generator, dtype=torch.float64, device=device).cpu()


def _haar(n: int, generator: torch.Generator | None) -> Tensor:
    rotation, triangle = torch.linalg.qr(_normal((n, n), generator))
    # LAPACK's choice of signs is not uniform, so take positive ones.
    return rotation * triangle.diagonal().sign()


def _by_fan_in(mask: Tensor, generator: torch.Generator | None) -> Tensor:
    kept = mask.sum(1, keepdim=True).clamp(min=1)
    return torch.where(mask, _normal(tuple(mask.shape), generator), 0.0) / kept.sqrt()


def _with_radius(block: Tensor, radius: float) -> Tensor:
    present = radius_of(block)
    return block if present == 0 else block * (radius / present)


def _masks(model: Module) -> dict[int, Tensor]:
    return {id(parameter): mask for _, parameter, mask in masked_parameters(model)}


def _zero_pruned(model: Module) -> None:
    masks = _masks(model)
    for parameter in model.parameters():
        if id(parameter) in masks:
            parameter.detach().masked_fill_(~masks[id(parameter)], 0)
