"""Bands are each worked on once, whatever the number of threads, and what goes wrong in one is raised."""

import os
import threading

import pytest

from riemod.regularization._bands import run_bands


@pytest.mark.parametrize("threads", [1, 2, 3, 8])
@pytest.mark.parametrize("count", [0, 1, 2, 7, 40])
def test_each_band_is_worked_on_once(threads, count):
    done = []
    run_bands(done.append, count, threads)
    assert sorted(done) == list(range(count))


def test_bands_are_shared_among_threads():
    meeting = threading.Barrier(3)
    seen = set()

    def work(_: int) -> None:
        meeting.wait(30)
        seen.add(threading.get_ident())

    run_bands(work, 3, 3)
    assert len(seen) == 3


@pytest.mark.parametrize("threads", [1, 3])
def test_an_error_is_raised_once_all_threads_have_stopped(threads):
    working = []

    def work(band: int) -> None:
        working.append(band)
        if band == 2:
            raise RuntimeError("in band 2")

    with pytest.raises(RuntimeError, match="in band 2"):
        run_bands(work, 6, threads)
    before = len(working)
    run_bands(lambda band: None, 6, threads)
    assert len(working) == before


def test_callers_do_not_wait_for_one_another_forever():
    """Two callers share one pool of one helper."""
    done = []
    callers = [threading.Thread(target=run_bands, args=(done.append, 50, 2)) for _ in range(4)]
    for caller in callers:
        caller.start()
    for caller in callers:
        caller.join(30)
    assert sorted(done) == sorted(list(range(50)) * 4)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork")
@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
def test_a_forked_process_has_threads_of_its_own():
    run_bands(lambda band: None, 4, 2)
    child = os.fork()
    if child == 0:
        done = []
        run_bands(done.append, 4, 2)
        os._exit(0 if sorted(done) == [0, 1, 2, 3] else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
