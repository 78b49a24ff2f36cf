"""The net that follows a position."""

from torch import Tensor, nn


class NavigationModel(nn.Module):
    """Maps the landmark activity of the start and the velocities to landmark scores of every position.

    A linear map gives the first hidden state, a ReLU `nn.RNN` moves it velocity by velocity, and another linear map
    reads every state out. All maps are without bias, as in the paper.

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
        """Return (T, batch, n) hidden states, of (batch, L) start codes and (T, batch, dim) velocities, m a step."""
        return self.rnn(velocity, self.encoder(start_code).unsqueeze(0))[0]

    def forward(self, start_code: Tensor, velocity: Tensor) -> Tensor:
        """Return (T, batch, L) landmark scores, the logarithms of the predicted code up to a constant."""
        return self.decoder(self.hidden_states(start_code, velocity))
