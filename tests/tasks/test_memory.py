"""Sizes of runs that cannot fit a memory are refused by the names of the numbers."""

import pytest

from riemod._checks import check_at_least, check_positive
from riemod.tasks import TASKS
from riemod.tasks.config.memory import Need, check_memory

PRESETS = [(task, name) for task, kind in TASKS.items() for name in kind.presets]


@pytest.mark.parametrize(("task", "name"), PRESETS)
def test_every_preset_fits_a_small_machine(task: str, name: str):
    check_memory(TASKS[task].presets[name].memory_needs(), 4 * 2**30)


@pytest.mark.parametrize(("task", "name"), [(task, name) for task, name in PRESETS if task != "language"])
def test_the_needs_are_no_more_than_the_weights_and_the_batches_take(task: str, name: str):
    """The bound on weights is a lower bound: it is at most 16 bytes for each parameter of the model."""
    config = TASKS[task].presets[name]
    model = TASKS[task](config.replace(threads=None)).build_model()
    weights = sum(need.least_bytes for need in config.memory_needs() if "weights" in need.part)
    parameters = sum(parameter.numel() for parameter in model.parameters())
    assert 0.9 * 16 * parameters < weights <= 16 * parameters


def test_the_message_names_the_numbers_of_the_largest_part():
    needs = [Need("the small part", {"a": 2}, 10), Need("the large part", {"b": 3, "c": 4}, 2**31)]
    check_memory(needs, 2**32)
    check_memory(needs, None)
    check_memory([], 0)
    with pytest.raises(ValueError, match=r"^b x c must fit the 1 GiB of memory here, got b=3, c=4: the large part"):
        check_memory(needs, 2**30)
    with pytest.raises(ValueError, match=r"^replicas x b x c must fit the 4 GiB.*would take 20 GiB"):
        check_memory(needs, 2**32, runs=10)


@pytest.mark.parametrize("task", TASKS)
def test_no_number_of_a_configuration_is_larger_than_what_can_be_counted(task: str):
    smoke = TASKS[task].presets["smoke"]
    for name, value in smoke.to_dict().items():
        if "seed" in name or isinstance(value, bool | str) or value is None:
            continue
        for large in (2**63, 10**12, 10**400) if isinstance(value, int) else (10**400,):
            with pytest.raises(ValueError, match=name) as caught:
                smoke.replace(**{name: large})
            assert len(str(caught.value)) < 400


def test_a_number_that_no_float_holds_is_a_value_error():
    for check in (lambda: check_positive("side", 10**400), lambda: check_at_least("side", 10**400, 0)):
        with pytest.raises(ValueError, match=r"side must be .*finite"):
            check()
