"""Draw the weights of every module anew by its own `reset_parameters()`, from a given generator."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor
from torch.nn import Module

from riemod._checks import check_generator, check_module
from riemod.manifolds._geoopt import geoopt


@contextmanager
def seeded_draws(generator: torch.Generator | None) -> Iterator[None]:
    """Seed torch's global generators (CPU, and CUDA once in use) from `generator` inside the block, then restore them.

    Modules draw their weights from the global generators, so that their draws follow `generator` inside the block.

    Args:
        generator: advances by one draw; None leaves the global generators as they are.

    Raises:
        TypeError: `generator` is neither a torch.Generator nor None.

    >>> before = torch.get_rng_state()
    >>> with seeded_draws(torch.Generator().manual_seed(0)):
    ...     first = torch.rand(2)
    >>> with seeded_draws(torch.Generator().manual_seed(0)):
    ...     second = torch.rand(2)
    >>> torch.equal(first, second), torch.equal(torch.get_rng_state(), before)
    (True, True)
    """
    check_generator(generator)
    if generator is None:
        yield
        return
    seed = int(torch.randint(2**63 - 1, (), generator=generator, device=generator.device, dtype=torch.int64))
    in_use = torch.cuda.is_available() and torch.cuda.is_initialized()
    with torch.random.fork_rng(devices=range(torch.cuda.device_count()) if in_use else []):
        # torch.manual_seed would also queue the seed for a CUDA context made later, after the fork has ended.
        torch.default_generator.manual_seed(seed)
        if in_use:
            torch.cuda.manual_seed_all(seed)
        yield


def reset_parameters(module: Module, generator: torch.Generator | None = None, *, skip: Module | None = None) -> None:
    """Draw all weights of a module anew, each submodule by its own `reset_parameters()`, as when it was built.

    Submodules are drawn in module order and before their parent, as in construction and in `Module.apply`, so a parent
    may overwrite what its children drew. geoopt ManifoldParameters (points of an embedding) keep their values.

    Args:
        module: changed in place; parameters stay the same objects.
        generator: source of the draws; None draws from torch's global generator.
        skip: submodule that is left alone, with those below it that have no other parent.

    Raises:
        TypeError: `module` is no module.
        ValueError: a submodule owns floating-point parameters and has no `reset_parameters`; nothing was changed.

    >>> layer = torch.nn.Linear(2, 2)
    >>> reset_parameters(layer, torch.Generator().manual_seed(0))
    >>> first = layer.weight.detach().clone()
    >>> reset_parameters(layer, torch.Generator().manual_seed(0))
    >>> torch.equal(layer.weight, first)
    True
    """
    check_generator(generator)
    resets = []
    for name, submodule in children_first(check_module("module", module), "", left_alone(skip)):
        reset = getattr(submodule, "reset_parameters", None)
        if callable(reset):
            resets.append(reset)
            continue
        own = [key for key, value in submodule.named_parameters(recurse=False) if _is_drawn(value)]
        if own:
            where = f"submodule {name!r}" if name else "the module itself"
            raise ValueError(
                f"module must own weights only in parts with reset_parameters(), got {where} "
                f"({type(submodule).__name__}) that owns {', '.join(own)} without that method"
            )
    points = [value for value in module.parameters() if isinstance(value, geoopt.ManifoldParameter)]
    saved = [point.detach().clone() for point in points]
    with seeded_draws(generator):
        for reset in resets:
            reset()
    with torch.no_grad():
        for point, value in zip(points, saved, strict=True):
            point.copy_(value)


def _is_drawn(parameter: Tensor) -> bool:
    drawn = parameter.is_floating_point() or parameter.is_complex()
    return drawn and not isinstance(parameter, geoopt.ManifoldParameter)


def left_alone(skip: Module | None) -> set[Module]:
    """Return the modules that a draw leaves alone; raise a TypeError for what is neither a module nor None."""
    return set() if skip is None else {check_module("skip", skip)}


def children_first(module: Module, name: str, seen: set[Module]) -> Iterator[tuple[str, Module]]:
    """Yield a module and those below it that are not in `seen`, with their names, each before its parent."""
    if module in seen:
        return
    seen.add(module)
    for child_name, child in module.named_children():
        yield from children_first(child, f"{name}.{child_name}" if name else child_name, seen)
    yield name, module
