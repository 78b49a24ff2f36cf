"""Safetensors files with a checksum of themselves, and headers that lie."""

import struct
import tracemalloc
from pathlib import Path

import pytest
import torch
from safetensors.torch import save

from riemod import _tensor_files
from riemod._tensor_files import check_seal, check_size, read_header, read_tensors, to_sealed_bytes
from riemod._untrusted import DamagedFile

TENSORS = {"a": torch.arange(6.0).reshape(2, 3), "b": torch.tensor([True, False])}


@pytest.fixture
def sealed(tmp_path: Path) -> Path:
    path = tmp_path / "file"
    path.write_bytes(to_sealed_bytes(TENSORS, {"about": '"sha256":"' + "0" * 64 + '"'}))
    return path


def test_a_sealed_file_is_a_safetensors_file(sealed: Path):
    check_seal(sealed)
    assert read_header(sealed)[1].keys() == {"about", "sha256"}
    read = read_tensors(sealed)
    assert all(torch.equal(read[name], tensor) for name, tensor in TENSORS.items())


def test_every_changed_byte_of_a_sealed_file_is_refused(sealed: Path):
    whole = sealed.read_bytes()
    for place in range(len(whole)):
        for change in (1, 0x80):
            sealed.write_bytes(whole[:place] + bytes([whole[place] ^ change]) + whole[place + 1 :])
            with pytest.raises(DamagedFile):
                check_seal(sealed)
    for content in (whole[:-1], whole + b"\0", b""):
        sealed.write_bytes(content)
        with pytest.raises(DamagedFile):
            check_seal(sealed)


def test_a_file_without_checksum_is_not_taken_for_sealed(tmp_path: Path):
    (tmp_path / "plain").write_bytes(save(TENSORS))
    with pytest.raises(DamagedFile, match="must have a SHA-256 among its metadata, got none"):
        check_seal(tmp_path / "plain")


@pytest.mark.parametrize("length", [2**16, 2**31, 2**40, 2**63, 2**64 - 1])
def test_a_huge_length_of_the_header_takes_no_memory(length: int, sealed: Path):
    sealed.write_bytes(struct.pack("<Q", length) + sealed.read_bytes()[8:])
    tracemalloc.start()
    for read in (read_header, read_tensors, check_seal):
        with pytest.raises(DamagedFile, match="header must have at most"):
            read(sealed)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 2**20


@pytest.mark.parametrize("header", [b"[]", b'{"__metadata__": 3}', b'{"__metadata__": {"a": 3}}', b"{", b"[" * 9000])
def test_a_header_of_another_form_is_refused(header: bytes, tmp_path: Path):
    (tmp_path / "file").write_bytes(struct.pack("<Q", len(header)) + header)
    with pytest.raises(DamagedFile):
        read_tensors(tmp_path / "file")


@pytest.mark.parametrize(
    "entry",
    [
        '{"dtype":"F32","shape":[2],"data_offsets":[0,4]}',
        '{"dtype":"F32","shape":[1],"data_offsets":[4,8]}',
        '{"dtype":"F99","shape":[1],"data_offsets":[0,4]}',
        '{"dtype":"F32","shape":[9223372036854775807,3],"data_offsets":[0,4]}',
        '{"dtype":"F32","shape":[-1],"data_offsets":[0,4]}',
        '{"shape":[1],"data_offsets":[0,4]}',
        '{"dtype":"F32","shape":[18446744073709551615,0],"data_offsets":[0,0]}',
        "3",
    ],
)
def test_a_tensor_that_the_file_does_not_hold_is_refused(entry: str, tmp_path: Path):
    header = f'{{"a":{entry}}}'.encode()
    (tmp_path / "file").write_bytes(struct.pack("<Q", len(header)) + header + b"\0" * 4)
    with pytest.raises(DamagedFile):
        read_tensors(tmp_path / "file")


def test_a_file_that_is_larger_than_the_memory_is_refused(sealed: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(_tensor_files, "main_memory", lambda: 100)
    with pytest.raises(DamagedFile, match="must fit the 100 bytes of memory of this machine"):
        check_size(sealed)
