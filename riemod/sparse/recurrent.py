"""Recurrent and linear layers on stored matrices, with the inputs and outputs of torch's layers.

Inside, hidden states are (n, batch), features first, as `riemod.sparse.layouts` multiplies them.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import dropout, pad
from torch.nn.utils.rnn import PackedSequence

from riemod._arrays import check_tensor
from riemod._checks import check_mapping, check_type, kind_of, shown
from riemod.sparse import _at_once as at_once
from riemod.sparse._step_by_step import CELLS, State, Weights, scan_backward, scan_forward
from riemod.sparse.layouts import StoredMatrix

__all__ = ["CompressedLinear", "CompressedRecurrent"]


class CompressedLinear(nn.Module):
    """Computes y = x W^T + b as `nn.Linear` does, with W as a `StoredMatrix`.

    Args:
        weight: (n, m).
        bias: (n,), or None.

    >>> from riemod.sparse.layouts import DenseMatrix
    >>> CompressedLinear(DenseMatrix(torch.eye(2)), torch.ones(2))(torch.zeros(3, 2)).shape
    torch.Size([3, 2])
    """

    def __init__(self, weight: StoredMatrix, bias: Tensor | None) -> None:
        super().__init__()
        check_type("weight", weight, StoredMatrix, "a StoredMatrix")
        if bias is not None:
            check_tensor("bias", bias, (weight.shape[0],))
        self.out_features, self.in_features = weight.shape
        self.weight = weight
        self.bias: nn.Parameter | None
        self.register_parameter("bias", None if bias is None else _copy(bias))

    def forward(self, x: Tensor) -> Tensor:
        """Return y (..., n) for x (..., m)."""
        _check_input(x, self.weight.values)
        if x.ndim == 0 or x.shape[-1] != self.in_features:
            raise ValueError(f"x must have shape (..., {self.in_features}), got {tuple(x.shape)}")
        columns = x.reshape(-1, self.in_features).t().contiguous()
        y = self.weight.bind()(columns).t()
        y = y.contiguous() if self.bias is None else y + self.bias
        return y.view(*x.shape[:-1], self.out_features)


class CompressedRecurrent(nn.Module):
    """Computes what `nn.RNN`, `nn.GRU` or `nn.LSTM` does, with each weight as a `StoredMatrix` under its usual name.

    Args:
        layer: the torch layer, whose sizes, options and biases are taken; no LSTM with projections.
        matrices: its weights by name ("weight_ih_l0", "weight_hh_l0", ...).

    Raises:
        ValueError: `layer` is an LSTM with projections.

    A small layer on the CPU runs a whole sequence in one compiled call, where no gradient is asked for; see
    `riemod/sparse/_at_once.py`.

    Reference: the equations of `torch.nn.RNN`, `torch.nn.GRU` and `torch.nn.LSTM`.
    """

    def __init__(self, layer: nn.RNNBase, matrices: Mapping[str, StoredMatrix]) -> None:
        super().__init__()
        check_type("layer", layer, nn.RNNBase, "an nn.RNN, nn.GRU or nn.LSTM")
        for matrix in check_mapping("matrices", matrices, "a mapping from name to StoredMatrix").values():
            check_type("matrices", matrix, StoredMatrix, "StoredMatrix objects")
        if layer.proj_size:
            raise ValueError(f"layer must not project its hidden state, got proj_size={layer.proj_size}")
        self.mode = layer.mode
        self.input_size, self.hidden_size = layer.input_size, layer.hidden_size
        self.num_layers, self.dropout = layer.num_layers, layer.dropout
        self.batch_first, self.bidirectional, self.bias = layer.batch_first, layer.bidirectional, layer.bias
        names = {f"weight_{kind}{suffix}" for suffix in _suffixes(layer) for kind in ("ih", "hh")}
        if names != set(matrices):
            raise ValueError(f"matrices must be {', '.join(sorted(names))}, got {shown(sorted(matrices))}")
        for name, matrix in matrices.items():
            self.add_module(name, matrix)
        for name, parameter in layer.named_parameters(recurse=False):
            if name.startswith("bias"):
                self.register_parameter(name, _copy(parameter))

    def flatten_parameters(self) -> None:
        """Do nothing: torch's layers have this method to lay out weights for cuDNN, which these kernels do not need."""

    def forward(self, x: Tensor | PackedSequence, hx: Any = None) -> tuple[Tensor | PackedSequence, Any]:
        """Return (output, last state) as the torch layer does.

        The input may be padded (time, batch, features), with batch and time exchanged if `batch_first`, unbatched or
        packed. The states of an LSTM may be a tuple or a list.

        Raises:
            ValueError: the input has no step, or a shape does not fit.
        """
        hx = tuple(hx) if isinstance(hx, list) else hx
        if isinstance(x, PackedSequence):
            steps = [part.t() for part in x.data.split(x.batch_sizes.tolist())]
            self._check_features(x.data)
            output, last = self._run(steps, self._states(hx, steps[0], x.sorted_indices))
            packed = PackedSequence(torch.cat([step.t() for step in output]), *x[1:])
            return packed, self._packed_states(last, x.unsorted_indices)
        self._check_features(x)
        if x.ndim not in (2, 3):
            raise ValueError(f"x must have 2 or 3 dimensions, got shape {tuple(x.shape)}")
        shape, batched = tuple(x.shape), x.ndim == 3
        if not batched:
            x = x.unsqueeze(1)
            hx = None if hx is None else _map_states(lambda state: state.unsqueeze(1), hx)
        elif self.batch_first:
            x = x.transpose(0, 1)
        if not len(x):
            raise ValueError(f"x must have at least one step, got shape {shape}")
        first = self._states(hx, x[0].t(), None)
        if self._is_small(x, first):
            joined, last = self._run_at_once(x, first)
        else:
            output, last = self._run([step.t() for step in x.unbind(0)], first)
            joined = torch.stack([step.t() for step in output])
        states = self._packed_states(last, None)
        if not batched:
            return joined.squeeze(1), _map_states(lambda state: state.squeeze(1), states)
        return (joined.transpose(0, 1) if self.batch_first else joined), states

    def _run(self, steps: Sequence[Tensor], states: Sequence[State]) -> tuple[Sequence[Tensor], list[State]]:
        """Return the output at each step, (directions * n, batch), and the last state of each layer and direction."""
        last: list[State] = []
        directions = 2 if self.bidirectional else 1
        for layer in range(self.num_layers):
            outputs: list[list[Tensor]] = []
            for direction in range(directions):
                weights = self._bind(layer, "_reverse" if direction else "")
                scan = scan_backward if direction else scan_forward
                output, state = scan(CELLS[self.mode], weights, steps, states[len(last)])
                outputs.append(output)
                last.append(state)
            steps = outputs[0] if directions == 1 else [torch.cat(pair) for pair in zip(*outputs, strict=True)]
            if self.dropout and self.training and layer < self.num_layers - 1:
                steps = [dropout(step, self.dropout) for step in steps]
        return steps, last

    def _is_small(self, x: Tensor, states: Sequence[State]) -> bool:
        """Tell whether to run the whole sequence in one call."""
        if not at_once.is_possible():
            return False
        plain = all(
            type(tensor) in (Tensor, nn.Parameter) and tensor.dtype == torch.float32 and tensor.device.type == "cpu"
            for tensor in (x, *states[0])
        )
        if not plain or (self.dropout and self.training):
            return False
        return at_once.is_small(x.shape[1], *(self._matrix("hh", suffix) for suffix in _suffixes(self)))

    def _run_at_once(self, x: Tensor, states: Sequence[State]) -> tuple[Tensor, list[State]]:
        """Return the output (time, batch, directions * n), and the last state of each layer and direction."""
        last: list[State] = []
        batch, steps = x.shape[1], at_once.widened(x.transpose(1, 2))
        for layer in range(self.num_layers):
            outputs: list[Tensor] = []
            for suffix in ("", "_reverse")[: 2 if self.bidirectional else 1]:
                place = f"_l{layer}{suffix}"
                given, bias = self._given(place, steps)
                first = tuple(at_once.widened(part) for part in states[len(last)])
                hidden = self._matrix("hh", place)
                output, state = at_once.scan(self.mode, hidden, given, bias, first, backward=bool(suffix))
                outputs.append(output)
                last.append(tuple(part[:, :batch] for part in state))
            steps = outputs[0] if len(outputs) == 1 else torch.cat(outputs, 1)
        return steps[..., :batch].transpose(1, 2).contiguous(), last

    def _given(self, place: str, steps: Tensor) -> tuple[Tensor, Tensor | None]:
        """Return W_ih x with biases, (time, rows, lanes), and what a GRU adds to its new gate's part of W_hh h."""
        given = self._matrix("ih", place).bind()(steps.transpose(0, 1).flatten(1))
        input_bias, own = self._bias("ih", place), self._bias("hh", place)
        if self.mode == "GRU":
            n = self.hidden_size
            own = given.new_zeros(3 * n, 1) if own is None else own
            inner = own[2 * n :].expand(n, steps.shape[2]).contiguous()
            own = pad(own[: 2 * n], (0, 0, 0, n))
        else:
            inner = None
        for bias in (input_bias, own):
            if bias is not None:
                given += bias
        return given.view(-1, len(steps), steps.shape[2]).transpose(0, 1).contiguous(), inner

    def _matrix(self, name: str, suffix: str) -> StoredMatrix:
        # getattr is a few microseconds faster than get_submodule, which a single step notices.
        stored = getattr(self, f"weight_{name}{suffix}")
        assert isinstance(stored, StoredMatrix)
        return stored

    def _bias(self, name: str, suffix: str) -> Tensor | None:
        return getattr(self, f"bias_{name}{suffix}")[:, None] if self.bias else None

    def _bind(self, layer: int, suffix: str) -> Weights:
        place = f"_l{layer}{suffix}"
        given, hidden = (self._matrix(name, place).bind() for name in ("ih", "hh"))
        return Weights(given, hidden, self._bias("ih", place), self._bias("hh", place))

    def _check_features(self, x: Tensor) -> None:
        _check_input(x, next(self.parameters()))
        if x.ndim == 0 or x.shape[-1] != self.input_size:
            raise ValueError(f"x must have {self.input_size} features in its last dimension, got {tuple(x.shape)}")

    def _states(self, hx: Any, step: Tensor, order: Tensor | None) -> list[State]:
        """Return the first state (n, batch) of each layer and direction: zeros, or hx in the packed batch's order."""
        count = self.num_layers * (2 if self.bidirectional else 1)
        parts = 2 if self.mode == "LSTM" else 1
        expected = (count, step.shape[1], self.hidden_size)
        if hx is None:
            zeros = step.new_zeros(self.hidden_size, step.shape[1])
            return [(zeros,) * parts] * count
        tensors = hx if isinstance(hx, tuple) else (hx,)
        if len(tensors) != parts or any(tensor.shape != expected for tensor in tensors):
            got = [tuple(tensor.shape) for tensor in tensors]
            raise ValueError(f"hx must hold {parts} of shape {expected}, got {got}")
        if order is not None:
            tensors = tuple(tensor.index_select(1, order) for tensor in tensors)
        return [tuple(part.t().contiguous() for part in state) for state in zip(*tensors, strict=True)]

    def _packed_states(self, states: Sequence[State], order: Tensor | None) -> Any:
        """Return the last states in the form of the torch layer."""
        tensors = tuple(torch.stack([part.t() for part in parts]) for parts in zip(*states, strict=True))
        if order is not None:
            tensors = tuple(tensor.index_select(1, order) for tensor in tensors)
        return tensors if self.mode == "LSTM" else tensors[0]

    def extra_repr(self) -> str:
        """Return the sizes and options."""
        return (
            f"{self.mode}, {self.input_size}, {self.hidden_size}, num_layers={self.num_layers}, "
            f"batch_first={self.batch_first}, bidirectional={self.bidirectional}, dropout={self.dropout}"
        )


def _check_input(x: Tensor, weight: Tensor) -> None:
    if not isinstance(x, Tensor):
        raise TypeError(f"x must be a tensor, got {kind_of(x)}")
    if x.layout != torch.strided:
        raise TypeError(f"x must be dense, got {x.layout}")
    if x.device != weight.device:
        raise ValueError(f"x must be on the device of the weights, {weight.device}, got {x.device}")
    if x.dtype != weight.dtype and not torch.is_autocast_enabled(x.device.type):
        raise TypeError(f"x must have the dtype of the weights, {weight.dtype}, got {x.dtype}")


def _suffixes(layer: nn.RNNBase | CompressedRecurrent) -> list[str]:
    directions = ("", "_reverse") if layer.bidirectional else ("",)
    return [f"_l{number}{direction}" for number in range(layer.num_layers) for direction in directions]


def _copy(parameter: Tensor) -> nn.Parameter:
    """Copy a parameter; a frozen one stays frozen."""
    return nn.Parameter(parameter.detach().clone(), requires_grad=parameter.requires_grad)


def _map_states(change: Callable[[Tensor], Tensor], states: Any) -> Any:
    return tuple(change(state) for state in states) if isinstance(states, tuple) else change(states)
