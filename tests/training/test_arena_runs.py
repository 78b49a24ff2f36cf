"""Runs on closed arenas: they begin, stop, go on to the same bits, and end with a record."""

from collections.abc import Callable
from pathlib import Path

import pytest
from torch import Tensor

from riemod.tasks.navigation.arenas import ArenaName
from riemod.training import Run, load, train


@pytest.mark.parametrize("arena", ["circle", "torus", "sphere", "klein"])
def test_a_run_goes_on_to_the_same_bits(
    arena: ArenaName,
    tmp_path: Path,
    begin: Callable[..., Run],
    bits: Callable[[Run], dict[str, Tensor]],
    same: Callable[[dict[str, Tensor], dict[str, Tensor]], bool],
):
    def stop(step: int, total: int, row: dict[str, float]) -> None:
        if step > 4:
            raise KeyboardInterrupt

    whole, broken = (begin(tmp_path / name, "navigation", arena=arena) for name in ("whole", "broken"))
    train(whole)
    with pytest.raises(KeyboardInterrupt):
        train(broken, stop)
    broken = load(broken.folder)
    assert broken.epoch == 1
    train(broken)
    assert same(bits(broken), bits(whole))
    record = broken.folder.read_record()
    assert record["metrics"] == whole.folder.read_record()["metrics"]
    assert record["config"]["arena"] == arena
    assert record["metrics"]["error_top3"]["unit"] == "cm"
