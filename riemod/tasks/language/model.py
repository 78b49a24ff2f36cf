"""The language model: word vectors, recurrent layers of any kind, and a decoder over all words."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from riemod.tasks.recurrence import Cell, recurrent_layer

# The scores of all words for this many rows stay in the cache.
_ROWS_AT_ONCE = 128


class LanguageModel(nn.Module):
    """Maps words to vectors, through recurrent layers, to scores of the next word.

    Weights start as in the reference's example: word vectors and decoder are drawn uniformly from [-0.1, 0.1], and the
    decoder's bias is 0. An adaptive softmax is drawn as torch does. Each layer is a module of its own, so that dropout
    between layers can be of either kind.

    Args:
        counts: (V,) how often each word comes in the training text; the adaptive softmax groups words by it.
        cell: kind of the layers.
        hidden_size: n.
        embedding_size: coordinates of a word's vector.
        layers: recurrent layers.
        tied: one matrix for word vectors and decoder.
        adaptive: softmax in three groups: the commonest sixteenth of the words, up to a quarter, and the rest.
        dropout: share dropped from word vectors, between layers and before the decoder.
        locked: drop the same entries at every step (variational dropout) instead of new ones.

    Reference: https://github.com/pytorch/examples, word_language_model; Gal and Ghahramani 2016,
    https://arxiv.org/abs/1512.05287; Grave et al. 2017, https://arxiv.org/abs/1609.04309.

    >>> model = LanguageModel(torch.ones(20), cell="gru", hidden_size=16, embedding_size=8, layers=2)
    >>> output, state = model(torch.zeros(5, 3, dtype=torch.int64))
    >>> output.shape, state.shape
    (torch.Size([5, 3, 16]), torch.Size([2, 1, 3, 16]))
    """

    rank: Tensor
    """(V,) place of each word when the commonest comes first."""

    def __init__(
        self,
        counts: Tensor,
        *,
        cell: Cell,
        hidden_size: int,
        embedding_size: int,
        layers: int,
        tied: bool = False,
        adaptive: bool = False,
        dropout: float = 0.0,
        locked: bool = False,
    ) -> None:
        super().__init__()
        vocabulary = len(counts)
        self.hidden_size, self.parts = hidden_size, 2 if cell == "lstm" else 1
        self.dropout, self.locked = dropout, locked
        self.encoder = nn.Embedding(vocabulary, embedding_size)
        sizes = [embedding_size] + [hidden_size] * (layers - 1)
        self.layers = nn.ModuleList(recurrent_layer(cell, size, hidden_size) for size in sizes)
        if adaptive:
            cutoffs = [vocabulary // 16, vocabulary // 4]
            self.decoder = nn.AdaptiveLogSoftmaxWithLoss(hidden_size, vocabulary, cutoffs)
            self.register_buffer("rank", counts.argsort(descending=True, stable=True).argsort())
        else:
            self.decoder = nn.Linear(hidden_size, vocabulary)
        if tied:
            self.decoder.weight = self.encoder.weight
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw word vectors and decoder anew; `riemod.initialization.reset_parameters` draws the layers before it."""
        nn.init.uniform_(self.encoder.weight, -0.1, 0.1)
        if isinstance(self.decoder, nn.Linear):
            nn.init.uniform_(self.decoder.weight, -0.1, 0.1)
            nn.init.zeros_(self.decoder.bias)

    def forward(self, words: Tensor, state: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Return (T, B, n) outputs and the (layers, parts, B, n) end state, of (T, B) words and a state (None: zero).

        There is one part for a plain RNN or GRU, and two for an LSTM: hidden and cell state.
        """
        if state is None:
            shape = (len(self.layers), self.parts, words.shape[1], self.hidden_size)
            state = self.encoder.weight.new_zeros(shape)
        values = self._drop(self.encoder(words))
        ends = []
        for layer, start in zip(self.layers, state, strict=True):
            first = (start[:1], start[1:]) if self.parts == 2 else start
            values, last = layer(values, first)
            values = self._drop(values)
            ends.append(torch.cat(last) if self.parts == 2 else last)
        return values, torch.stack(ends)

    def loss(self, output: Tensor, targets: Tensor) -> Tensor:
        """Return the mean cross-entropy in nats of (T, B) next words, from (T, B, n) outputs."""
        return self._nats(output.flatten(0, 1), targets.flatten()).mean()

    def score(self, output: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
        """Return (N,) cross-entropies in nats and (N,) likeliest words, of (N,) next words, from (N, n) outputs."""
        pairs = zip(output.split(_ROWS_AT_ONCE), targets.split(_ROWS_AT_ONCE), strict=True)
        scores = [self._score(part, wanted) for part, wanted in pairs]
        return torch.cat([nats for nats, _ in scores]), torch.cat([words for _, words in scores])

    def _score(self, output: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
        if isinstance(self.decoder, nn.AdaptiveLogSoftmaxWithLoss):
            return self._nats(output, targets), self.rank.argsort()[_likeliest(self.decoder, output)]
        scores = self.decoder(output)
        return F.cross_entropy(scores, targets, reduction="none"), scores.argmax(-1)

    def _nats(self, output: Tensor, targets: Tensor) -> Tensor:
        if isinstance(self.decoder, nn.AdaptiveLogSoftmaxWithLoss):
            return -self.decoder(output, self.rank[targets]).output
        return F.cross_entropy(self.decoder(output), targets, reduction="none")

    def _drop(self, values: Tensor) -> Tensor:
        if not self.training or self.dropout == 0:
            return values
        if not self.locked:
            return F.dropout(values, self.dropout)
        return values * F.dropout(torch.ones_like(values[:1]), self.dropout)


def _likeliest(softmax: nn.AdaptiveLogSoftmaxWithLoss, output: Tensor) -> Tensor:
    """Return the likeliest words, as `softmax.predict` does, which scores all words in every row.

    Here a group that is less likely as a whole than the best word so far is skipped.
    """
    head = softmax.head(output)
    best, word = head[:, : softmax.shortlist_size].max(1)
    for group, tail in enumerate(softmax.tail):
        mass = head[:, softmax.shortlist_size + group]
        rows = (mass > best).nonzero().squeeze(1)
        if not len(rows):
            continue
        scores = tail(output[rows])
        value, inside = scores.max(1)
        value = mass[rows] + value - scores.logsumexp(1)
        better = value > best[rows]
        best[rows[better]] = value[better]
        word[rows[better]] = softmax.cutoffs[group] + inside[better]
    return word
