"""What every test shares: types checked as the code runs, a fixed seed, and hypothesis that draws the same examples."""

import inspect
from collections.abc import Iterator

import hypothesis
import jaxtyping
import pytest
import torch

# Before riemod is imported: from here on its annotations, jaxtyping's shapes among them, are checked at every call.
# The tower lets an int stand for a float, as type checkers do; Self is let be, for beartype knows it on classes alone.
jaxtyping.install_import_hook(
    "riemod",
    "beartype.beartype(conf=beartype.BeartypeConf(is_pep484_tower=True, "
    "hint_overrides=beartype.FrozenDict({beartype.typing.Self: beartype.typing.Any})))",
)

hypothesis.settings.register_profile("riemod", derandomize=True, deadline=None, max_examples=30, database=None)
hypothesis.settings.load_profile("riemod")


def expects_an_error(test: object) -> bool:
    """Whether a test, or the one inside hypothesis's, calls `pytest.raises`."""
    inner = getattr(getattr(test, "hypothesis", None), "inner_test", test)
    return inspect.isroutine(inner) and "raises" in inspect.unwrap(inner).__code__.co_names


@pytest.fixture(autouse=True)
def _library_s_own_errors(request: pytest.FixtureRequest) -> Iterator[None]:
    """Switch the run-time types off where an error is expected: a user has none, and must see the library's message."""
    jaxtyping.config.update("jaxtyping_disable", expects_an_error(getattr(request.node, "function", None)))
    yield
    jaxtyping.config.update("jaxtyping_disable", False)


@pytest.fixture(autouse=True)
def _nothing_compiled() -> Iterator[None]:
    """No test compiles a kernel for half a minute in passing; tests of kernels start processes of their own."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("riemod.regularization._own_kernels.text_of", lambda law: None)
        yield


@pytest.fixture(autouse=True)
def _seeded() -> Iterator[None]:
    """Every test starts from the same global seed and leaves torch's default dtype alone."""
    dtype = torch.get_default_dtype()
    torch.manual_seed(0)
    yield
    left = torch.get_default_dtype()
    torch.set_default_dtype(dtype)
    assert left is dtype, f"the test left {left} as torch's default dtype"
