"""A word-level text in three files, as token ids: WikiText-2, or another text in the same layout.

A folder holds train.txt, valid.txt and test.txt: UTF-8, words separated by white space. Every line ends in one `<eos>`.
The vocabulary is that of all three files, in order of first appearance over train, valid, test.
"""

import hashlib
import io
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from riemod._files import write_atomically

SPLITS = ("train", "valid", "test")
END_OF_LINE = "<eos>"
_FORMAT = 1
_CACHE = "corpus.json"


@dataclass(frozen=True)
class KnownFile:
    """Identifies a file of WikiText-2 by how it begins, its size in bytes, and its SHA-256."""

    start: bytes
    size: int
    sha256: str


WIKITEXT2 = {
    "train.txt": KnownFile(
        b" \n = Valkyria Chronicles III = \n",
        10_797_148,
        "9e9fa1ad55b1c2c95b08e37dd8e653f638fac2c6de904b79e813611eefbc985f",
    ),
    "valid.txt": KnownFile(
        b" \n = Homarus gammarus = \n",
        1_121_681,
        "f0737ed31fc1329026e95cb8b98e19c2a182c39c240ab909dc31abf2f8af58e8",
    ),
    "test.txt": KnownFile(
        b" \n = Robert <unk> = \n",
        1_256_449,
        "d790b833ef8cf03a90db7bf1271b7520b83c45ce07ba3c1a9699df81e239eca0",
    ),
}
_ORIGIN = (
    "WikiText-2 is the tokenized wikitext-2-v1 of Merity et al. 2016, https://arxiv.org/abs/1609.07843, as "
    "word_language_model/data/wikitext-2 of github.com/pytorch/examples has it"
)


@dataclass(frozen=True, eq=False)
class Corpus:
    """Holds the token ids of the three splits, and hashes that tell one text and one vocabulary from another.

    Args:
        splits: int32 token ids by split, in the order of the text; mapped from disk if they were read from a cache.
        vocabulary_size: number of different words, `<eos>` among them; ids run from 0 to it.
        vocabulary_sha256: of the words in the order of their ids, one a line.
        sources: SHA-256 of the files by name.
    """

    splits: dict[str, NDArray[np.int32]]
    vocabulary_size: int
    vocabulary_sha256: str
    sources: dict[str, str]

    @property
    def fingerprint(self) -> dict[str, Any]:
        """The entries of a record: the number of words, the tokens of each split, and the hashes."""
        tokens = {f"{split}_tokens": len(ids) for split, ids in self.splits.items()}
        words = {"vocabulary_size": self.vocabulary_size, "vocabulary_sha256": self.vocabulary_sha256}
        return words | tokens | {f"{name}_sha256": digest for name, digest in self.sources.items()}

    def save(self, cache: Path) -> None:
        """Write the ids to the folder `cache`, which is made if needed; do nothing if they are there already."""
        if _read_cache(cache, self.sources) is not None:
            return
        cache.mkdir(parents=True, exist_ok=True)
        files = {}
        for split, ids in self.splits.items():
            buffer = io.BytesIO()
            np.save(buffer, np.asarray(ids))
            files[split] = hashlib.sha256(buffer.getvalue()).hexdigest()
            write_atomically(cache / f"{split}.npy", buffer.getvalue())
        # Written last, because it vouches for the other files.
        content = {"format": _FORMAT, "files": files, "vocabulary_size": self.vocabulary_size}
        content |= {"vocabulary_sha256": self.vocabulary_sha256, "sources": self.sources}
        write_atomically(cache / _CACHE, (json.dumps(content, indent=2) + "\n").encode())


def read_corpus(data: Path, *, cache: Path | None = None, verify: bool = True) -> Corpus:
    """Read the text of a folder as token ids, numbered by the words' first appearance over train, valid, test.

    Args:
        data: folder with train.txt, valid.txt and test.txt.
        cache: folder that `Corpus.save` may have filled; its ids are used if they are of these files.
        verify: refuse files that begin as WikiText-2's but are cut off or altered. A folder one of whose files is
            WikiText-2's, or begins so, must hold all of WikiText-2.

    Raises:
        ValueError: if a file is missing, is no UTF-8, holds no word, or is not the WikiText-2 that it claims to be.

    Reference: the reading of the word_language_model example, https://github.com/pytorch/examples.
    """
    contents = {f"{split}.txt": _content(data, f"{split}.txt") for split in SPLITS}
    sources = {name: hashlib.sha256(content).hexdigest() for name, content in contents.items()}
    if verify:
        _check_known(data, contents, sources)
    if cache is not None and (found := _read_cache(cache, sources)) is not None:
        return found
    ids: dict[str, int] = {}
    splits = {split: _tokenize(data / f"{split}.txt", contents[f"{split}.txt"], ids) for split in SPLITS}
    digest = hashlib.sha256("".join(f"{word}\n" for word in ids).encode()).hexdigest()
    return Corpus(splits, len(ids), digest, sources)


def unigram_entropy(ids: NDArray[np.integer[Any]]) -> float:
    """Return H = -sum_w p_w log p_w, in nats, p_w being the share of word w in the text.

    Args:
        ids: the text's token ids.

    >>> round(unigram_entropy(np.array([0, 0, 1, 1])), 4)
    0.6931
    """
    counts = np.bincount(ids)
    shares = counts[counts > 0] / len(ids)
    return float(-(shares * np.log(shares)).sum())


def unigram_cross_entropy(ids: NDArray[np.integer[Any]], source: NDArray[np.integer[Any]]) -> float:
    """Return H = -mean_i log q_(w_i), in nats, q_w being the share of word w in the source; infinite if a word is new.

    Args:
        ids: the text's token ids w_i.
        source: token ids of the text that the shares are taken from.

    >>> round(unigram_cross_entropy(np.array([0, 1]), np.array([0, 0, 1, 1])), 4)
    0.6931
    """
    counts = np.bincount(source, minlength=int(ids.max()) + 1)[ids]
    return float(np.log(len(source)) - np.log(counts).mean()) if counts.all() else float("inf")


def _content(data: Path, name: str) -> bytes:
    try:
        return (data / name).read_bytes()
    except (FileNotFoundError, NotADirectoryError) as error:
        raise ValueError(
            f"data must be a folder with train.txt, valid.txt and test.txt, got {data}: {name} is missing; in "
            f"WikiText-2 it has {_expected(WIKITEXT2[name])}; {_ORIGIN}"
        ) from error


def _expected(known: KnownFile) -> str:
    return f"{known.size:,} bytes and the SHA-256 {known.sha256}"


def _check_known(data: Path, contents: dict[str, bytes], sources: dict[str, str]) -> None:
    claims = [
        name
        for name, known in WIKITEXT2.items()
        if contents[name] and known.start.startswith(contents[name][: len(known.start)])
    ]
    for name, known in WIKITEXT2.items():
        if claims and sources[name] != known.sha256:
            because = "" if name in claims else f" (as {claims[0]} beside it is, or begins so)"
            raise ValueError(
                f"data must hold WikiText-2 whole{because}, got {data / name} with {len(contents[name]):,} bytes and "
                f"the SHA-256 {sources[name]}, expected {_expected(known)}; {_ORIGIN}; "
                "if it is another text, set verify to False"
            )


def _tokenize(path: Path, content: bytes, ids: dict[str, int]) -> NDArray[np.int32]:
    tokens: list[int] = []
    words = 0
    try:
        for line in io.TextIOWrapper(io.BytesIO(content), encoding="utf-8"):
            line_ids = [ids.setdefault(word, len(ids)) for word in line.split()]
            words += len(line_ids)
            tokens += line_ids
            tokens.append(ids.setdefault(END_OF_LINE, len(ids)))
    except UnicodeDecodeError as error:
        position = _first_bad_byte(content)
        raise ValueError(f"{path} must be UTF-8, got the byte 0x{content[position]:02x} at {position:,}") from error
    if not words:
        raise ValueError(f"{path} must hold some text, got {len(content):,} bytes and no word")
    return np.array(tokens, dtype=np.int32)


def _first_bad_byte(content: bytes) -> int:
    """Return the position of the first byte that is not UTF-8, counted from the start of the file.

    A reader of lines decodes piece by piece, and its errors count from the start of the piece.
    """
    try:
        content.decode("utf-8")
    except UnicodeDecodeError as error:
        return error.start
    raise AssertionError("the content is UTF-8")


def _read_cache(cache: Path, sources: dict[str, str]) -> Corpus | None:
    """Return the cached ids, or None if there are none, they are of other files, or they are damaged."""
    try:
        content = json.loads((cache / _CACHE).read_text())
        if content["format"] != _FORMAT or content["sources"] != sources:
            return None
        splits = {}
        for split in SPLITS:
            path = cache / f"{split}.npy"
            if hashlib.sha256(path.read_bytes()).hexdigest() != content["files"][split]:
                return None
            splits[split] = np.load(path, mmap_mode="r", allow_pickle=False)
        return Corpus(splits, content["vocabulary_size"], content["vocabulary_sha256"], sources)
    except (OSError, ValueError, KeyError, TypeError):
        return None
