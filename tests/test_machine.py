"""Devices that torch has here, and the memory of this machine."""

import pytest
import torch

from riemod import _machine
from riemod._machine import check_device, device_memory, device_names, main_memory


@pytest.mark.parametrize("name", ["vulkan", "hpu", "gpu", "meta", "cpu:7", "cuda:99", "", "c" * 10_000, "xla\n"])
def test_a_device_that_torch_has_not_is_one_line_with_those_it_has(name: str):
    with pytest.raises(ValueError, match=r"device must be one that torch has here \(cpu") as caught:
        check_device(name)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 300


def test_devices_that_torch_has_are_taken():
    assert device_names()[0] == "cpu"
    for name in ("cpu", "cpu:0", *device_names()):
        assert check_device(name).type == torch.device(name).type


def test_an_accelerator_that_is_here_is_named(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(torch.accelerator, "is_available", lambda: True)
    monkeypatch.setattr(torch.accelerator, "current_accelerator", lambda: torch.device("cuda"))
    monkeypatch.setattr(torch.accelerator, "device_count", lambda: 2)
    assert device_names() == ["cpu", "cuda:0", "cuda:1"]


def test_the_memory_is_that_of_the_machine_or_of_its_container(tmp_path, monkeypatch: pytest.MonkeyPatch):
    whole = main_memory()
    assert whole is not None
    assert whole > 2**28
    assert device_memory(torch.device("cpu")) == whole
    for text, expected in (("1000\n", 1000), ("max\n", None), ("", None)):
        (tmp_path / "limit").write_text(text)
        monkeypatch.setattr(_machine, "_CONTAINER_LIMIT", tmp_path / "limit")
        assert main_memory() == expected if expected else (main_memory() or 0) >= whole


def test_a_size_that_does_not_fit_is_refused_before_it_is_allocated(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(_machine, "main_memory", lambda: 2**30)
    _machine.check_fits("n", 2**27, 2**30)
    with pytest.raises(ValueError, match=r"n must fit the 1 GiB of memory here, got 268435456: it would take 2 GiB"):
        _machine.check_fits("n", 2**28, 2**31)
    monkeypatch.setattr(_machine, "main_memory", lambda: None)
    with pytest.raises(ValueError, match=r"n must fit the .* of memory here, got an integer of 401 digits"):
        _machine.check_fits("n", 10**400, 8 * 10**400)


@pytest.mark.parametrize("device", ["x", 1.5, [], "cuda:99", -1, 2**63, torch.nn.Identity])
def test_places_that_torch_does_not_have_are_refused(device: object):
    _machine.check_place("cpu")
    _machine.check_place(torch.device("cpu"))
    _machine.check_place(None)
    with pytest.raises(ValueError, match="device must be one that torch has here, got"):
        _machine.check_place(device)
