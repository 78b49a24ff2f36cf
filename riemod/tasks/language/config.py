"""The configuration of a language run, and its presets."""

from dataclasses import dataclass, field
from typing import Literal

from riemod._checks import check_at_least, check_integer, check_share
from riemod.tasks.base import AboutPreset
from riemod.tasks.config import Masks, Optimization, Regularization, RunConfig, Training
from riemod.tasks.config.fields import may_differ
from riemod.tasks.config.memory import FLOAT, Need, bytes_per_weight
from riemod.tasks.recurrence import Cell, weights_of_layer

_BYTES_OF_A_MODULE = 4096


@dataclass(frozen=True, kw_only=True)
class LanguageConfig(RunConfig):
    """Holds every number of a language run.

    An epoch reads the first batches_per_epoch x bptt x batch_size tokens of the training text.
    """

    data: str | None = field(default=None, metadata=may_differ("resumed", "recorded"))
    """Folder with train.txt, valid.txt and test.txt: WikiText-2, or another text in that layout. It must be given."""
    verify: bool = True
    """Refuse files that begin as WikiText-2's but are cut off or altered."""
    bptt: int = 35
    """Words that a gradient reaches back over; the hidden state is carried on over the whole epoch."""
    cell: Cell = "rnn_tanh"
    """Kind of the recurrent layers."""
    hidden_size: int
    """Hidden neurons n of each layer."""
    embedding_size: int
    """Coordinates of a word's vector."""
    layers: int
    """Recurrent layers, one on top of the other."""
    tied: bool = False
    """One matrix for the words' vectors and for the decoder; needs embedding_size equal to hidden_size."""
    softmax: Literal["full", "adaptive"] = "full"
    """Over all words, or in three groups by how often words come in the training text, which is cheaper."""
    dropout: float = 0.0
    """Share of entries dropped from word vectors, between layers and before the decoder."""
    dropout_kind: Literal["ordinary", "variational"] = "ordinary"
    """New dropped entries at every word, or the same ones over a batch's whole window."""
    other_l1: float = 0.0
    """Strength of L1 on the matrices that are not recurrent, part of the loss: times the sum of the mean |w| of the
    encoder, of the decoder and of each layer's input weights. The paper's own code has 0.1 in every arm."""
    evaluation_streams: int = 20
    """Pieces that a text is cut into to be read side by side when evaluated, each from a zero state."""
    evaluation_tokens: int | None = None
    """Read only this many first tokens of the validation and test texts; None for all of them."""

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("bptt", "hidden_size", "embedding_size", "layers", "evaluation_streams"):
            check_integer(name, getattr(self, name), least=1)
        if self.evaluation_tokens is not None:
            check_integer("evaluation_tokens", self.evaluation_tokens, least=2)
        check_share("dropout", self.dropout)
        check_at_least("other_l1", self.other_l1, 0)
        if self.tied and self.embedding_size != self.hidden_size:
            raise ValueError(
                f"tied needs embedding_size equal to hidden_size, got {self.embedding_size} and {self.hidden_size}"
            )
        if self.softmax == "adaptive" and (self.tied or self.hidden_size < 16):
            raise ValueError(
                "softmax='adaptive' needs untied weights and a hidden_size of at least 16, "
                f"got tied={self.tied}, hidden_size={self.hidden_size}"
            )

    def memory_needs(self) -> list[Need]:
        hidden, embedding, layers, size = self.hidden_size, self.embedding_size, self.layers, self.training.batch_size
        weight = bytes_per_weight(self.optimization.optimizer)
        first = weight * weights_of_layer(self.cell, embedding, hidden)
        others = (layers - 1) * weight * weights_of_layer(self.cell, hidden, hidden)
        sizes = {"hidden_size": hidden, "layers": layers}
        # The weights of words and the states of a window depend on the text, which is read later.
        return [
            *super().memory_needs(),
            Need("the first layer", {"embedding_size": embedding, "hidden_size": hidden}, first),
            Need("the other layers", sizes, others),
            Need("the layers' modules", {"layers": layers}, _BYTES_OF_A_MODULE * layers),
            Need("the state of a batch", {"batch_size": size, **sizes}, FLOAT * layers * size * hidden),
        ]


PRESETS: dict[str, RunConfig] = {
    # Reads the first 4,000 tokens. Each tensor is pruned alone, because a global ranking would drop all word vectors
    # before any other weight.
    "smoke": LanguageConfig(
        preset="smoke",
        hidden_size=32,
        embedding_size=32,
        layers=1,
        softmax="adaptive",
        bptt=20,
        evaluation_tokens=5_000,
        training=Training(epochs=4, batches_per_epoch=20, batch_size=10, tail_epochs=1),
        optimization=Optimization(learning_rate=5e-3, max_grad_norm=0.25),
        regularization=Regularization(strength=1e-3),
        masks=Masks(scope="tensor"),
    ),
    # Reads the first 280,020 tokens, and all of the validation and test texts.
    "cpu": LanguageConfig(
        preset="cpu",
        hidden_size=128,
        embedding_size=128,
        layers=2,
        softmax="adaptive",
        dropout=0.2,
        evaluation_streams=100,
        training=Training(epochs=5, batches_per_epoch=400, batch_size=20, dense_epochs=1, tail_epochs=2),
        optimization=Optimization(learning_rate=2e-3, learning_rate_decay="tail", warmup_steps=100, max_grad_norm=0.25),
        regularization=Regularization(strength=1e-3),
        masks=Masks(scope="tensor"),
    ),
    "paper": LanguageConfig(
        preset="paper",
        hidden_size=650,
        embedding_size=650,
        layers=3,
        training=Training(epochs=15, batches_per_epoch=2984, batch_size=20),
        optimization=Optimization(
            learning_rate=20.0, learning_rate_decay="anneal", optimizer="sgd", max_grad_norm=0.25
        ),
        regularization=Regularization(strength=0.1),
    ),
    "steady": LanguageConfig(
        preset="steady",
        hidden_size=650,
        embedding_size=650,
        layers=3,
        dropout=0.2,
        training=Training(epochs=15, batches_per_epoch=2984, batch_size=20, dense_epochs=1, tail_epochs=6),
        optimization=Optimization(
            learning_rate=1e-3, learning_rate_decay="tail", warmup_steps=1000, max_grad_norm=0.25
        ),
        regularization=Regularization(strength=0.1),
    ),
}

ABOUT: dict[str, AboutPreset] = {
    "smoke": AboutPreset("shows that all works, on 4,000 words; too short to learn", 0.02),
    "cpu": AboutPreset("two small layers on the first 280,020 words", 3),
    "paper": AboutPreset("three layers on all words, as in the paper; needs a GPU", 1900),
    "steady": AboutPreset("the paper's net by a recipe that does not diverge; needs a GPU", 1900),
}
