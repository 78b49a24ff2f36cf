"""The language task: predict the next word of a text from the words before it."""

import itertools
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from riemod.tasks.base import AboutPreset, Batch, HiddenUnits, Task
from riemod.tasks.config import RunConfig
from riemod.tasks.language.config import ABOUT, PRESETS, LanguageConfig
from riemod.tasks.language.corpus import Corpus, read_corpus, unigram_cross_entropy, unigram_entropy
from riemod.tasks.language.model import LanguageModel

# A net whose loss is within this margin of the unigram floor, nats a token, knows no more than how often words come.
_COLLAPSE_MARGIN = 0.02
_EVALUATION_STEPS = 70


class Language(Task[LanguageConfig]):
    """Word-level language modeling; a batch is (words (T, B), next words (T, B), state of each layer).

    Training carries the hidden state from batch to batch, and starts every epoch from zero. `loss` writes the state it
    ends in into the batch, where the next batch finds it.

    Metrics are of the whole validation text ("test_": of the test text), or of their first evaluation_tokens; the
    number of evaluation batches does not matter. The unigram floor of a text (validation, test, or the part of the
    training text that is read) is the entropy of its own word counts: the lowest loss of an answer that ignores the
    context. The word counts of the training text score worse, and infinitely badly if a word is new. A run whose loss
    is above the floor, or less than 0.02 nats below it, has collapsed.
    """

    name = "language"
    primary_metric = "perplexity"
    units: ClassVar[dict[str, str]] = {
        f"{prefix}{name}": unit
        for prefix in ("", "test_", "train_")
        for name, unit in {
            "loss": "nats per token",
            "perplexity": "words",
            "bits_per_word": "bits",
            "accuracy": "fraction",
            "collapsed": "1 if collapsed",
        }.items()
    }
    presets: ClassVar[dict[str, RunConfig]] = PRESETS
    about: ClassVar[dict[str, AboutPreset]] = ABOUT

    def __init__(self, config: LanguageConfig, cache: Path | None = None) -> None:
        super().__init__(config)
        if config.data is None:
            raise ValueError("data must be a folder with train.txt, valid.txt and test.txt, got None")
        self.corpus: Corpus = read_corpus(Path(config.data), cache=cache, verify=config.verify)
        if config.softmax == "adaptive" and self.corpus.vocabulary_size < 16:
            raise ValueError(
                f"softmax='adaptive' needs a vocabulary of at least 16 words, got {self.corpus.vocabulary_size}"
            )
        self.streams = self._training_streams()

    @classmethod
    def of_run(cls, config: LanguageConfig, cache: Path) -> Self:
        return cls(config, cache)

    def write_cache(self, cache: Path) -> None:
        self.corpus.save(cache)

    def data(self) -> dict[str, Any]:
        return self.corpus.fingerprint

    def build_model(self) -> LanguageModel:
        config = self.config
        counts = np.bincount(self.corpus.splits["train"], minlength=self.corpus.vocabulary_size)
        return LanguageModel(
            torch.from_numpy(counts),
            cell=config.cell,
            hidden_size=config.hidden_size,
            embedding_size=config.embedding_size,
            layers=config.layers,
            tied=config.tied,
            adaptive=config.softmax == "adaptive",
            dropout=config.dropout,
            locked=config.dropout_kind == "variational",
        )

    def hidden_units(self, model: nn.Module) -> list[HiddenUnits]:
        assert isinstance(model, LanguageModel)
        layers = [layer for layer in model.layers if isinstance(layer, nn.RNN | nn.GRU | nn.LSTM)]
        units = [HiddenUnits(layer, (), (reader,)) for layer, reader in itertools.pairwise(layers)]
        if isinstance(model.decoder, nn.Linear) and model.decoder.weight is not model.encoder.weight:
            # A decoder that is tied or adaptive has other weights to reorder, which words read as well.
            units.append(HiddenUnits(layers[-1], (), (model.decoder,)))
        return units

    def batches(self, generator: torch.Generator, count: int) -> Iterator[Batch]:
        """Yield the windows of the text in order; they are the same in every epoch, and nothing is drawn."""
        del generator
        config, words = self.config, self.streams
        parts = 2 if config.cell == "lstm" else 1
        state = torch.zeros(config.layers, parts, config.training.batch_size, config.hidden_size, device=self.device)
        for start in range(0, min(count * config.bptt, len(words) - 1), config.bptt):
            stop = min(start + config.bptt, len(words) - 1)
            yield words[start:stop], words[start + 1 : stop + 1], state

    def loss(self, model: nn.Module, batch: Batch) -> Tensor:
        words, targets, state = batch
        assert isinstance(model, LanguageModel)
        # A copy, because the gradient needs the state as it was.
        output, end = model(words, state.clone())
        state.copy_(end.detach())
        loss = model.loss(output, targets)
        return loss + self.config.other_l1 * _other_means(model) if self.config.other_l1 else loss

    def evaluate(self, model: nn.Module, generator: torch.Generator, batches: int) -> dict[str, float]:
        del batches
        test = self._measure(model, "test")
        return self.validate(model, generator) | {f"test_{name}": value for name, value in test.items()}

    def validate(self, model: nn.Module, generator: torch.Generator) -> dict[str, float]:
        del generator
        return self._measure(model, "valid")

    def reference_levels(self, generator: torch.Generator) -> dict[str, float]:
        del generator
        floors = {
            "": unigram_entropy(self._evaluated("valid")),
            "test_": unigram_entropy(self._evaluated("test")),
            "train_": unigram_entropy(self.streams.flatten().cpu().numpy()),
        }
        levels = {f"{prefix}loss unigram floor": floor for prefix, floor in floors.items()}
        for prefix, split in (("", "valid"), ("test_", "test")):
            loss = unigram_cross_entropy(self._evaluated(split), self.corpus.splits["train"])
            if math.isfinite(loss):
                levels[f"{prefix}loss of the training text's unigrams"] = loss
        return levels | {f"{prefix}perplexity unigram floor": math.exp(floor) for prefix, floor in floors.items()}

    def _training_streams(self) -> Tensor:
        """Return (rows, batch_size) words: the prefix that an epoch reads, cut into batch_size streams side by side."""
        config, ids = self.config, self.corpus.splits["train"]
        count, streams = config.training.batches_per_epoch, config.training.batch_size
        rows = min(count * config.bptt + 1, len(ids) // streams)
        most = math.ceil((len(ids) // streams - 1) / config.bptt)
        if count > most:
            raise ValueError(
                f"batches_per_epoch must be at most {max(most, 0)} for the {len(ids):,} tokens of the training text at "
                f"batch_size={streams} and bptt={config.bptt}, got {count}"
            )
        prefix = torch.from_numpy(ids[: rows * streams].astype(np.int64))
        return prefix.view(streams, rows).T.contiguous().to(self.device)

    def _evaluated(self, split: str) -> NDArray[np.int32]:
        return self.corpus.splits[split][: self.config.evaluation_tokens]

    @torch.no_grad()
    def _measure(self, model: nn.Module, split: str) -> dict[str, float]:
        """Return the metrics of a split; every token except the first is predicted once.

        The text is cut into streams, each of which continues where the one before it ends.
        """
        assert isinstance(model, LanguageModel)
        ids = self._evaluated(split)
        if len(ids) < 2:
            raise ValueError(f"data must have at least 2 tokens in its {split} text, got {len(ids)}")
        predicted = len(ids) - 1
        streams = min(self.config.evaluation_streams, predicted)
        rows = math.ceil(predicted / streams)
        padded = torch.full((rows * streams + 1,), -1, dtype=torch.int64)
        padded[: len(ids)] = torch.from_numpy(ids.astype(np.int64))
        words, targets = (part.view(streams, rows).T.to(self.device) for part in (padded[:-1], padded[1:]))
        loss, right, state = torch.zeros((), dtype=torch.float64), 0, None
        for start in range(0, rows, _EVALUATION_STEPS):
            window = slice(start, start + _EVALUATION_STEPS)
            # Padding is read as word 0; it stands at the end of its stream, and what follows it is not scored.
            output, state = model(words[window].clamp(min=0), state)
            scored = targets[window] >= 0
            nats, best = model.score(output[scored], targets[window][scored])
            loss += nats.double().sum().cpu()
            right += int((best == targets[window][scored]).sum())
        mean = loss.item() / predicted
        return {
            "loss": mean,
            "perplexity": (loss / predicted).exp().item(),
            "bits_per_word": mean / math.log(2),
            "accuracy": right / predicted,
            "collapsed": float(not mean < unigram_entropy(ids) - _COLLAPSE_MARGIN),
        }


def _other_means(model: LanguageModel) -> Tensor:
    """Return the sum over all matrices that are not recurrent of their mean |w|; a tied matrix counts once."""
    names = [name for name, weight in model.named_parameters() if weight.ndim == 2 and "weight_hh" not in name]
    return torch.stack([model.get_parameter(name).abs().mean() for name in names]).sum()
