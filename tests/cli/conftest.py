"""What the tests of the command line share: a user's surroundings, and a command that must fail."""

from collections.abc import Callable, Iterator

import jaxtyping
import pytest
import torch

from riemod.cli.commands import main
from tests.cli.text import flat


@pytest.fixture(autouse=True)
def _as_a_user_has_it(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """No run-time types (tyro's marks of missing values have none), a wide terminal, and the threads as before."""
    jaxtyping.config.update("jaxtyping_disable", True)
    monkeypatch.setenv("COLUMNS", "200")
    threads = torch.get_num_threads()
    yield
    torch.set_num_threads(threads)


@pytest.fixture
def fails(capsys: pytest.CaptureFixture[str]) -> Callable[..., str]:
    """Run a command that must end with a status and a message on standard error alone, and give that message."""

    def run(*arguments: str, status: int = 2) -> str:
        capsys.readouterr()
        with pytest.raises(SystemExit) as end:
            main(list(arguments))
        assert end.value.code == status
        out, errors = capsys.readouterr()
        assert out == ""
        assert "Traceback" not in errors
        return flat(errors)

    return run
