"""What needs processes of its own: torch.compile, which cannot trace types checked at run time, and two ranks."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
# One machine, no network: gloo must not look up the host's name.
ENVIRONMENT = {**os.environ, "PYTHONPATH": str(ROOT), "GLOO_SOCKET_IFNAME": "lo", "OMP_NUM_THREADS": "1"}


def start(*arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", *arguments],
        cwd=ROOT,
        env=ENVIRONMENT,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


@pytest.mark.parametrize("backend", ["aot_eager", pytest.param("inductor", marks=pytest.mark.slow)])
def test_compiled_losses_and_steps_are_the_plain_ones(backend):
    worker = start("tests.regularization.compile_worker", backend)
    output, _ = worker.communicate(timeout=300)
    assert worker.returncode == 0, output


@pytest.mark.parametrize("recipe", ["together", "penalty outside"])
def test_two_processes_learn_the_same_points_as_one(recipe, tmp_path):
    ranks = [
        start("tests.regularization.distributed_worker", recipe, str(rank), str(tmp_path / "meeting"))
        for rank in range(2)
    ]
    outputs = [worker.communicate(timeout=300)[0] for worker in ranks]
    assert [worker.returncode for worker in ranks] == [0, 0], "\n".join(outputs)
