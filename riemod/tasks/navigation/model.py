"""The net that follows a position."""

from torch import Tensor, nn


class NavigationModel(nn.Module):
    """Landmark activity of the start -> hidden state -> (velocity by velocity) -> landmark scores of every position.

    Three bias-free linear maps around a bias-free ReLU `nn.RNN`, as in the paper.

    Args:
        landmarks: L.
        hidden_size: n.
        dim: numbers of a velocity; 1 on the circle.
    """

    def __init__(self, landmarks: int, hidden_size: int, dim: int = 2) -> None:
        super().__init__()
        self.encoder = nn.Linear(landmarks, hidden_size, bias=False)
        self.rnn = nn.RNN(dim, hidden_size, nonlinearity="relu", bias=False)
        self.decoder = nn.Linear(hidden_size, landmarks, bias=False)

    def hidden_states(self, start_code: Tensor, velocity: Tensor) -> Tensor:
        """(T, batch, n) hidden states, from (batch, L) start codes and (T, batch, dim) velocities in m a step."""
        return self.rnn(velocity, self.encoder(start_code).unsqueeze(0))[0]

    def forward(self, start_code: Tensor, velocity: Tensor) -> Tensor:
        """(T, batch, L) landmark scores, the logarithms of the predicted code up to a constant."""
        return self.decoder(self.hidden_states(start_code, velocity))
