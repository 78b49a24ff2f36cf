"""Text as token ids: the reading of the reference, the cache, and files that are not what they should be."""

import hashlib
import json
from pathlib import Path

import numpy as np
import pytest

from riemod.tasks.language import corpus
from riemod.tasks.language.corpus import WIKITEXT2, Corpus, KnownFile, read_corpus
from tests.tasks.texts import NAMES, wikitext2, write_text


def write(folder: Path, train: str | bytes, valid: str | bytes, test: str | bytes) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in zip(NAMES, (train, valid, test), strict=True):
        (folder / name).write_bytes(text if isinstance(text, bytes) else text.encode())
    return folder


def lists(read: Corpus) -> dict[str, list[int]]:
    return {split: ids.tolist() for split, ids in read.splits.items()}


def test_words_are_numbered_as_they_first_appear_and_lines_end_in_eos(tmp_path: Path):
    read = read_corpus(write(tmp_path, "b a b\n\nc", "a d\n", "e  \td\r\nb\n"))
    # b a <eos> c | d | e, over the three files; an empty line is an <eos> alone, a last line needs no end.
    assert lists(read) == {"train": [0, 1, 0, 2, 2, 3, 2], "valid": [1, 4, 2], "test": [5, 4, 2, 0, 2]}
    assert read.vocabulary_size == 6
    assert read.vocabulary_sha256 == hashlib.sha256(b"b\na\n<eos>\nc\nd\ne\n").hexdigest()
    assert all(ids.dtype == np.int32 for ids in read.splits.values())


def test_the_reading_is_the_example_s(tmp_path: Path):
    """Against the plain loop of the word_language_model example; other line ends and odd spaces among it."""
    text = "x\u2028y z\x0bw\x0c v\rq \u00a0 r\r\n\n\u3000s t\x1cu\n"
    folder = write(tmp_path, text, text + "new", "one")
    index: dict[str, int] = {}
    expected = {}
    for name in NAMES:
        ids = expected[name.removesuffix(".txt")] = []
        with (folder / name).open(encoding="utf8") as file:
            for line in file:
                for word in [*line.split(), "<eos>"]:
                    ids.append(index.setdefault(word, len(index)))
    read = read_corpus(folder)
    assert lists(read) == expected
    assert read.vocabulary_size == len(index)


def test_the_fingerprint_tells_texts_and_vocabularies_apart(tmp_path: Path):
    read = {
        name: read_corpus(write(tmp_path / name, *texts)).fingerprint
        for name, texts in {
            "a": ("one two\n", "one\n", "two\n"),
            "same": ("one two\n", "one\n", "two\n"),
            "other words": ("one six\n", "one\n", "six\n"),
            "other order": ("two one\n", "one\n", "two\n"),
            "other text": ("one two\n", "two\n", "one\n"),
        }.items()
    }
    assert read["a"] == read["same"]
    assert read["a"] == json.loads(json.dumps(read["a"]))
    hashes = {name: entry["vocabulary_sha256"] for name, entry in read.items()}
    assert hashes["a"] == hashes["other text"]
    assert len({hashes["a"], hashes["other words"], hashes["other order"]}) == 3
    assert read["a"] != read["other text"]
    assert read["a"]["train_tokens"] == 3


def test_the_cache_gives_the_same_ids_mapped_from_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    folder, cache = write_text(tmp_path / "text"), tmp_path / "run" / "cache"
    first = read_corpus(folder, cache=cache)
    assert not cache.exists()
    first.save(cache)
    monkeypatch.setattr(corpus, "_tokenize", None)
    again = read_corpus(folder, cache=cache)
    assert all(isinstance(ids, np.memmap) for ids in again.splits.values())
    assert lists(again) == lists(first)
    assert again.fingerprint == first.fingerprint
    before = {path: path.stat().st_mtime_ns for path in cache.iterdir()}
    assert {path.name for path in before} == {"corpus.json", "train.npy", "valid.npy", "test.npy"}
    again.save(cache)
    assert {path: path.stat().st_mtime_ns for path in cache.iterdir()} == before


@pytest.mark.parametrize("file", ["corpus.json", "train.npy", "test.npy"])
@pytest.mark.parametrize("damage", ["gone", "cut", "altered"])
def test_a_damaged_cache_is_made_anew(file: str, damage: str, tmp_path: Path):
    folder, cache = write_text(tmp_path / "text"), tmp_path / "cache"
    whole = read_corpus(folder)
    whole.save(cache)
    content = (cache / file).read_bytes()
    if damage == "gone":
        (cache / file).unlink()
    else:
        (cache / file).write_bytes(content[:-3] if damage == "cut" else content[:-9] + bytes(4) + content[-5:])
    again = read_corpus(folder, cache=cache)
    assert not any(isinstance(ids, np.memmap) for ids in again.splits.values())
    assert lists(again) == lists(whole)
    again.save(cache)
    assert (cache / file).read_bytes() == content


def test_a_cache_of_another_text_is_not_taken(tmp_path: Path):
    cache = tmp_path / "cache"
    read_corpus(write_text(tmp_path / "a")).save(cache)
    other = write_text(tmp_path / "b", seed=1)
    read = read_corpus(other, cache=cache)
    assert lists(read) == lists(read_corpus(other)) != lists(read_corpus(tmp_path / "a"))
    read.save(cache)
    assert isinstance(read_corpus(other, cache=cache).splits["train"], np.memmap)


def test_a_save_that_is_cut_off_leaves_no_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    folder, cache = write_text(tmp_path / "text"), tmp_path / "cache"
    real = corpus.write_atomically

    def cut_off(path: Path, content: bytes) -> None:
        if path.name == "test.npy":
            raise KeyboardInterrupt
        real(path, content)

    with monkeypatch.context() as patch:
        patch.setattr(corpus, "write_atomically", cut_off)
        with pytest.raises(KeyboardInterrupt):
            read_corpus(folder).save(cache)
    assert not isinstance(read_corpus(folder, cache=cache).splits["train"], np.memmap)


@pytest.mark.parametrize("name", NAMES)
def test_a_missing_file_is_named_with_what_it_should_be(name: str, tmp_path: Path):
    (write_text(tmp_path) / name).unlink()
    with pytest.raises(ValueError, match=rf"^data must be a folder .*, got {tmp_path}: {name} is missing") as error:
        read_corpus(tmp_path)
    known = WIKITEXT2[name]
    for part in (f"{known.size:,} bytes", known.sha256, "Merity et al. 2016, https://arxiv.org/abs/1609.07843"):
        assert part in str(error.value)


def test_a_folder_that_is_none_is_named(tmp_path: Path):
    (tmp_path / "file").write_text("text")
    for folder in (tmp_path / "nowhere", tmp_path / "file"):
        with pytest.raises(ValueError, match=rf"got {folder}: train\.txt is missing"):
            read_corpus(folder)


def test_text_that_is_no_utf8_is_named(tmp_path: Path):
    # Far in, where a reader has long decoded the first pieces, and with a character of two bytes before.
    bad = "é word\n".encode() * 5000 + b"caf\xe9 au lait\n"
    write(tmp_path, "a b\n", bad, "a\n")
    with pytest.raises(ValueError, match=rf"valid\.txt must be UTF-8, got the byte 0xe9 at {5000 * 8 + 3:,}$"):
        read_corpus(tmp_path)


@pytest.mark.parametrize("content", ["", "\n\n", " \t\n"])
def test_a_file_without_a_word_is_named(content: str, tmp_path: Path):
    with pytest.raises(ValueError, match=r"test\.txt must hold some text, got \d bytes and no word"):
        read_corpus(write(tmp_path, "a\n", "b\n", content), verify=False)


@pytest.fixture
def standing_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, bytes]:
    """A small set of three files that the library takes for the known one."""
    texts = {name: f" \n = {name} begins = \n text of {name} \n".encode() for name in NAMES}
    known = {name: KnownFile(text[:20], len(text), hashlib.sha256(text).hexdigest()) for name, text in texts.items()}
    monkeypatch.setattr(corpus, "WIKITEXT2", known)
    return texts


def test_the_known_text_is_taken_whole(tmp_path: Path, standing_in: dict[str, bytes]):
    assert read_corpus(write(tmp_path, *standing_in.values())).splits["train"][0] == 0


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("damage", ["cut", "cut at its start", "altered", "longer", "another text"])
def test_the_known_text_is_refused_if_cut_off_or_altered(
    name: str, damage: str, tmp_path: Path, standing_in: dict[str, bytes]
):
    text = standing_in[name]
    changed = {
        "cut": text[:-1],
        "cut at its start": text[:15],
        "altered": text[:-3] + b"!" + text[-2:],
        "longer": text + b"\n",
        "another text": b"something else\n",
    }[damage]
    write(tmp_path, **{key.removesuffix(".txt"): value for key, value in (standing_in | {name: changed}).items()})
    with pytest.raises(ValueError, match="data must hold WikiText-2 whole") as error:
        read_corpus(tmp_path)
    known = corpus.WIKITEXT2[name]
    for part in (
        f"got {tmp_path / name} with {len(changed):,} bytes",
        hashlib.sha256(changed).hexdigest(),
        f"expected {known.size:,} bytes and the SHA-256 {known.sha256}",
        "https://arxiv.org/abs/1609.07843",
    ):
        assert part in str(error.value)
    # Whoever means it may.
    assert read_corpus(tmp_path, verify=False).vocabulary_size > 1


def test_the_files_of_the_known_text_begin_as_they_are_said_to():
    """A start that no file has would never catch anything; here without the files."""
    for name, title in zip(NAMES, (b"Valkyria Chronicles III", b"Homarus gammarus", b"Robert <unk>"), strict=True):
        assert WIKITEXT2[name].start == b" \n = " + title + b" = \n"
        assert len(bytes.fromhex(WIKITEXT2[name].sha256)) == 32


@pytest.mark.slow
def test_the_real_text_has_the_counts_that_it_is_known_for(tmp_path: Path):
    folder = wikitext2()
    if folder is None:
        pytest.skip("WikiText-2 is not here: set RIEMOD_WIKITEXT2 to its folder")
    read = read_corpus(folder)
    assert read.vocabulary_size == 33_278
    assert {split: len(ids) for split, ids in read.splits.items()} == {
        "train": 2_088_628,
        "valid": 217_646,
        "test": 245_569,
    }
    for name in NAMES:
        assert (folder / name).read_bytes().startswith(WIKITEXT2[name].start)
        (tmp_path / name).write_bytes((folder / name).read_bytes())
    (tmp_path / "train.txt").write_bytes((folder / "train.txt").read_bytes()[:9_489_047])
    with pytest.raises(ValueError, match=r"train\.txt with 9,489,047 bytes .*expected 10,797,148 bytes"):
        read_corpus(tmp_path)
