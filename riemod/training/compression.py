"""Compression of a trained run's net: its units are reordered and its layers stored by their kept weights."""

import copy
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal, get_args

import torch
from torch import Tensor, nn

from riemod import sparse
from riemod._checks import check_choice, check_type
from riemod._files import write_json
from riemod.pruning.orders import find_orders
from riemod.regularization import ModuliRegularizer
from riemod.regularization.neurons import neuron_order
from riemod.sparse.timing import median_seconds
from riemod.training.errors import RunError
from riemod.training.folder import environment
from riemod.training.loop import evaluate
from riemod.training.run import Run, check_run
from riemod.training.seeds import Stream, generator_for

UnitOrder = Literal["geometric", "graph", "index"]
MODEL, RECORD = "model.safetensors", "compression.json"
BLOCKS = (16, 32, 64)


def compress_run(run: Run, out: Path, order: UnitOrder = "geometric") -> dict[str, Any]:
    """Compress a run's net, measure it before and after, and write the net and the record.

    Args:
        run: its model does not change.
        out: new folder, for `model.safetensors`, which `riemod.sparse.load(path, run.task.build_model())` reads, and
            `compression.json`, which is the record.
        order: of the hidden units: "geometric" is that of the last pruning in blocks, or along the curve through the
            points' manifold, or "index" for a run that has neither; "graph" is reverse Cuthill-McKee; "index" changes
            nothing.

    Returns:
        The record: the run, the shares of tiles that are not empty, every timing and which were chosen, bytes in
        memory and on disk, seconds of a batch, and the task's metrics, each before and after.

    Raises:
        RunError: if the folder is taken.
        ValueError: for weights that cannot be compressed.
    """
    check_run(run)
    check_type("out", out, Path, "a Path")
    check_choice("order", order, get_args(UnitOrder))
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise RunError(f"out must be a new or empty folder, got {out}")
    task, model = run.task, copy.deepcopy(run.model).eval()
    occupancy = reorder_units(run, model, order)
    batch = next(iter(task.batches(generator_for(task.device, Stream.EVALUATION, 0), 1)))
    # A loss may reach into the model, past its own call; an evaluation calls it as it is used.
    evaluation = generator_for(task.device, Stream.EVALUATION, 0)
    example = arguments_of_call(model, [lambda: task.loss(model, batch), lambda: task.evaluate(model, evaluation, 1)])
    timings = sparse.time_layouts(model, example)
    layouts = sparse.fastest(timings)
    compressed = sparse.compress(model, layouts, example)
    seconds = median_seconds({"before": lambda: model(*example), "after": lambda: compressed(*example)}, task.device)
    before, after = evaluate(run), evaluate(replace(run, model=compressed))
    out.mkdir(parents=True, exist_ok=True)
    sparse.save(compressed, out / MODEL)
    record = {
        "run": run.description.to_dict(),
        "sparsity": run.pruner.sparsity(),
        "order": order,
        "occupancy": occupancy,
        "timings": [{**timing._asdict(), "chosen": _is_chosen(timing, layouts)} for timing in timings],
        "seconds_a_batch": seconds,
        "bytes_in_memory": {"before": stored_bytes(model), "after": stored_bytes(compressed)},
        "bytes_on_disk": {"before": stored_bytes(model), "after": (out / MODEL).stat().st_size},
        "metrics": {name: {"before": before[name], "after": after[name], "unit": task.units[name]} for name in before},
        **environment(),
    }
    write_json(out / RECORD, record)
    return record


def reorder_units(run: Run, model: nn.Module, order: UnitOrder) -> dict[str, dict[str, dict[str, float]]]:
    """Reorder the hidden units; return the share of non-empty tiles by weight and block, before and after."""
    occupancy: dict[str, dict[str, dict[str, float]]] = {}
    names = {part: name for name, part in model.named_modules()}
    for index, (layer, sources, consumers) in enumerate(run.task.hidden_units(model)):
        weight = f"{names[layer]}.weight_hh_l0"
        before = _occupancy(layer)
        units = _order_of(run.moduli, index, layer, order)
        if units is not None:
            sparse.permute_neurons(layer, units, sources=sources, consumers=consumers)
        after = _occupancy(layer)
        occupancy[weight] = {str(block): {"before": before[block], "after": after[block]} for block in BLOCKS}
    return occupancy


def _order_of(moduli: ModuliRegularizer | None, index: int, layer: nn.RNNBase, order: UnitOrder) -> Tensor | None:
    if order == "graph":
        return sparse.reverse_cuthill_mckee(layer.get_parameter("weight_hh_l0"))
    if order == "index":
        return None
    grouped = find_orders(layer, "weight_hh_l0")
    if grouped is not None:
        return grouped[0].clone()
    return None if moduli is None else neuron_order(moduli.layer_embeddings(index))


def _occupancy(layer: nn.RNNBase) -> dict[int, float]:
    weight = layer.get_parameter("weight_hh_l0").detach().unflatten(0, (-1, layer.hidden_size))
    return {block: sparse.block_occupancy(weight, block) for block in BLOCKS}


def arguments_of_call(model: nn.Module, uses: Sequence[Callable[[], object]]) -> tuple[Any, ...]:
    """Return the arguments that the first call of the model gets, in the first use that calls it."""
    caught: list[tuple[Any, ...]] = []
    handle = model.register_forward_pre_hook(lambda _, arguments: caught.append(arguments))
    try:
        with torch.no_grad():
            for use in uses:
                if not caught:
                    use()
    finally:
        handle.remove()
    return caught[0]


def _is_chosen(timing: sparse.Timing, layouts: Mapping[str, str]) -> bool:
    """Return whether the compressed net has the weight in that layout, or the layer in that form."""
    if timing.name in layouts:
        return layouts[timing.name] == timing.layout
    compressed = any(layout != "dense" for name, layout in layouts.items() if name.startswith(f"{timing.name}."))
    return compressed == (timing.layout == "compressed")


def stored_bytes(model: nn.Module) -> int:
    """Return the bytes of parameters and indices, without the masks and orders of pruning."""
    return sum(tensor.nbytes for name, tensor in model.state_dict().items() if not name.endswith(("_mask", "_order")))
