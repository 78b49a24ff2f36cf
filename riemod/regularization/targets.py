"""Which weights are penalised: the recurrent (hidden to hidden) matrices of torch's recurrent layers and cells."""

from dataclasses import dataclass

from torch import Tensor, nn


@dataclass(frozen=True)
class RecurrentWeight:
    """One recurrent parameter, (gates * n, n): its gates share the points of the layer's n neurons.

    Args:
        module: the layer that owns the parameter.
        parameter: its name there, such as "weight_hh_l0".
        neurons: n.
        gates: 1 for a plain RNN, 3 for a GRU, 4 for an LSTM.
    """

    module: nn.Module
    parameter: str
    neurons: int
    gates: int

    @property
    def weight(self) -> Tensor:
        """(gates * n, n), the parameter as it is now."""
        return getattr(self.module, self.parameter)

    def blocks(self) -> tuple[Tensor, ...]:
        """The n x n hidden block of each gate."""
        return self.weight.split(self.neurons)


def recurrent_weights(module: nn.Module) -> list[RecurrentWeight]:
    """Every recurrent parameter of a layer, a cell, or of all layers and cells inside a model, in module order.

    Args:
        module: an `nn.RNN`, `nn.GRU`, `nn.LSTM`, one of their cells, or a model that holds some.

    Raises:
        ValueError: if there is none, or an LSTM projects its hidden state (its recurrent matrix is not square).
        TypeError: if `module` is not a module.

    >>> [target.parameter for target in recurrent_weights(nn.GRU(2, 8, num_layers=2))]
    ['weight_hh_l0', 'weight_hh_l1']
    """
    if not isinstance(module, nn.Module):
        raise TypeError(f"module must be a torch.nn.Module, got {type(module).__name__}")
    found = [target for child in module.modules() for target in _own_recurrent_weights(child)]
    if not found:
        raise ValueError(f"module must be or hold a recurrent layer or cell of torch.nn, got {type(module).__name__}")
    return found


def _own_recurrent_weights(module: nn.Module) -> list[RecurrentWeight]:
    if isinstance(module, nn.RNNBase):
        if module.proj_size:
            raise ValueError("module must not project its hidden state: nn.LSTM(proj_size=...) is not supported")
        directions = ("", "_reverse") if module.bidirectional else ("",)
        names = [f"weight_hh_l{layer}{suffix}" for layer in range(module.num_layers) for suffix in directions]
    elif isinstance(module, nn.RNNCellBase):
        names = ["weight_hh"]
    else:
        return []
    neurons = module.hidden_size
    return [RecurrentWeight(module, name, neurons, getattr(module, name).shape[0] // neurons) for name in names]
