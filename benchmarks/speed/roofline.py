"""What a machine could do at best: bytes moved and functions evaluated for each entry, over peaks that are measured."""

from typing import Any

import torch
from torch import Tensor
from torch.fx.experimental.proxy_tensor import make_fx

from benchmarks.speed.harness import median_time
from riemod.manifolds import Manifold
from riemod.regularization.inhibitors import Inhibitor

# What takes a processor tens of cycles where an addition takes one.
FUNCTIONS = ("exp", "expm1", "log1p", "sqrt", "rsqrt", "div", "reciprocal", "atan2", "asinh", "cos", "sin", "pow")
_ENTRIES = 1 << 24
_CACHED = 1 << 17


def bandwidth() -> float:
    """Bytes a second that a copy of 64 MiB reads and writes."""
    source = torch.ones(_ENTRIES)
    target = torch.empty_like(source)
    return 2 * source.nbytes / median_time(lambda: target.copy_(source))


def fresh_bandwidth() -> float:
    """Bytes a second written to memory that the system has just handed out, as every new gradient is."""
    return 4 * _ENTRIES / median_time(lambda: torch.ones(_ENTRIES))


def function_rate(name: str) -> float:
    """Evaluations a second of a function on float32 numbers in the cache, in a compiled loop."""
    x, y = torch.rand(_CACHED) + 0.5, torch.rand(_CACHED) + 0.5
    function = getattr(torch, name)
    arguments = (x, y) if name in ("atan2", "div", "pow") else (x,)
    out, times = torch.empty_like(x), _ENTRIES // _CACHED

    @torch.compile
    def evaluate(out: Tensor, *arguments: Tensor) -> None:
        out.copy_(function(*arguments))

    def many() -> None:
        for _ in range(times):
            evaluate(out, *arguments)

    return times * _CACHED / median_time(many)


def functions(manifold: Manifold, inhibitor: Inhibitor) -> dict[str, int]:
    """How often one entry of a tile needs each of FUNCTIONS, in value and slopes."""

    def slopes(rows: Tensor, columns: Tensor, upstream: Tensor) -> tuple[Tensor, ...]:
        def cost(own: Tensor, others: Tensor) -> Tensor:
            return inhibitor.of_squared_distance(manifold.squared_distance(own, others))

        value, pull, *_ = torch.func.vjp(cost, rows, columns)
        return (value, *pull(upstream))

    rows, columns = (manifold.coordinates(manifold.sample(n)).detach() for n in (3, 5))
    graph = make_fx(slopes)(rows, columns, torch.ones(3, 5)).graph
    counts = dict.fromkeys(FUNCTIONS, 0)
    for node in graph.nodes:
        name = str(node.target).split(".")[1] if str(node.target).startswith("aten.") else ""
        value = node.meta.get("val", node.meta.get("tensor_meta"))
        if name in counts and tuple(value.shape) == (3, 5):
            counts[name] += 1
    return {name: count for name, count in counts.items() if count}


def roofline(manifold: Manifold, inhibitor: Inhibitor, n: int) -> dict[str, Any]:
    """Seconds that the bytes and the functions of an n x n penalty take at the measured peaks, one after the other."""
    counts = functions(manifold, inhibitor)
    rates = {name: function_rate(name) for name in counts}
    read, fresh = bandwidth(), fresh_bandwidth()
    entries = n * n
    # The weight is read, its gradient written to fresh memory.
    memory = entries * (4 / read + 4 / fresh)
    evaluated = entries * sum(count / rates[name] for name, count in counts.items())
    return {
        "functions_per_entry": counts,
        "functions_per_second": rates,
        "bytes_per_second": read,
        "fresh_bytes_per_second": fresh,
        "seconds_of_memory": memory,
        "seconds_of_functions": evaluated,
        "seconds_at_best": memory + evaluated,
    }
