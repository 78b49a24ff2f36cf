"""A word-level language model with an LSTM, in the shape of PyTorch's own example: one file, its own loop.

The lines that end in `# riemod` are all that the penalty on a learned torus, pruning to 90 % and its masks need;
without them this is the plain program. `--data` is a folder with train.txt, valid.txt and test.txt.

    python word_language_model.py --data wikitext-2 --epochs 10
"""

import argparse
import math
from pathlib import Path

import torch
from torch import Tensor, nn

import riemod  # riemod


class Corpus:
    """The ids of the words of three texts, over the vocabulary of all of them."""

    def __init__(self, folder: Path) -> None:
        self.words: dict[str, int] = {}
        self.train, self.valid, self.test = (
            self.tokenize(folder / f"{name}.txt") for name in ("train", "valid", "test")
        )

    def tokenize(self, path: Path) -> Tensor:
        ids = []
        for line in path.read_text(encoding="utf-8").splitlines():
            ids += [self.words.setdefault(word, len(self.words)) for word in [*line.split(), "<eos>"]]
        return torch.tensor(ids)


class RNNModel(nn.Module):
    """Embedding, LSTM, decoder."""

    def __init__(self, words: int, width: int, layers: int, dropout: float) -> None:
        super().__init__()
        self.drop = nn.Dropout(dropout)
        self.encoder = nn.Embedding(words, width)
        self.rnn = nn.LSTM(width, width, layers, dropout=dropout)
        self.decoder = nn.Linear(width, words)

    def forward(self, ids: Tensor, state: tuple[Tensor, Tensor] | None) -> tuple[Tensor, tuple[Tensor, Tensor]]:
        output, state = self.rnn(self.drop(self.encoder(ids)), state)
        return self.decoder(self.drop(output)).flatten(0, 1), state


def batchify(ids: Tensor, columns: int) -> Tensor:
    rows = len(ids) // columns
    return ids[: rows * columns].view(columns, rows).T.contiguous()


def repackage(state: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
    return state[0].detach(), state[1].detach()


@torch.no_grad()
def evaluate(model: RNNModel, data: Tensor, bptt: int) -> float:
    model.eval()
    total, state = 0.0, None
    for start in range(0, len(data) - 1, bptt):
        inputs, targets = data[start : start + bptt], data[start + 1 : start + 1 + bptt]
        output, state = model(inputs[: len(targets)], state)
        total += nn.functional.cross_entropy(output, targets.flatten(), reduction="sum").item()
    return total / data[1:].numel()


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description="PyTorch word-level language model")
    parser.add_argument("--data", type=Path, required=True, help="folder with train.txt, valid.txt and test.txt")
    parser.add_argument("--width", type=int, default=200, help="size of the word embeddings and hidden layers")
    parser.add_argument("--layers", type=int, default=2)
    parser.add_argument("--dropout", type=float, default=0.2)
    parser.add_argument("--lr", type=float, default=2e-3)
    parser.add_argument("--clip", type=float, default=0.25)
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--batch", type=int, default=20)
    parser.add_argument("--bptt", type=int, default=35)
    parser.add_argument("--seed", type=int, default=1111)
    parser.add_argument("--save", type=Path, default=Path("model.pt"))
    args = parser.parse_args(arguments)

    torch.manual_seed(args.seed)
    corpus = Corpus(args.data)
    train, valid, test = (batchify(ids, args.batch) for ids in (corpus.train, corpus.valid, corpus.test))
    model = RNNModel(len(corpus.words), args.width, args.layers, args.dropout)
    optimizer = torch.optim.Adam(model.parameters(), lr=args.lr)
    moduli = riemod.ModuliRegularizer(model, riemod.manifolds.Torus(2), strength=0.01, learn=True)  # riemod
    pruner = riemod.MagnitudePruner(model, riemod.LinearSchedule(final=0.9, epochs=args.epochs))  # riemod
    optimizer = riemod.optim.riemannian_adam(model, moduli, lr=args.lr)  # riemod

    for epoch in range(args.epochs):
        pruner.start_epoch(epoch)  # riemod
        model.train()
        state = None
        for start in range(0, len(train) - 1, args.bptt):
            inputs, targets = train[start : start + args.bptt], train[start + 1 : start + 1 + args.bptt]
            state = None if state is None else repackage(state)
            output, state = model(inputs[: len(targets)], state)
            loss = nn.functional.cross_entropy(output, targets.flatten())
            loss = loss + moduli()  # riemod
            optimizer.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_(model.parameters(), args.clip)
            optimizer.step()
        nats = evaluate(model, valid, args.bptt)
        print(f"epoch {epoch + 1:3d} | valid {nats:5.2f} nats per word | valid perplexity {math.exp(nats):8.2f}")

    nats = evaluate(model, test, args.bptt)
    print(f"test {nats:5.2f} nats per word | test perplexity {math.exp(nats):8.2f}")
    torch.save(model.state_dict(), args.save)


if __name__ == "__main__":
    main()
