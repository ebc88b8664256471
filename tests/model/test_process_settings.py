"""Settings of the process under threads that overlap, and under errors."""

import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import pytest
import torch

from model.process_settings import SharedSettings
from model.torch_convolutions import EXACT_CONVOLUTIONS

TIMEOUT_S = 300.0


@pytest.fixture
def log():
    return []


@pytest.fixture
def settings(log):
    @contextmanager
    def change():
        log.append("changed")
        try:
            yield len(log)
        finally:
            log.append("restored")

    return SharedSettings(change)


def overlap(hold):
    """Two threads hold: the second comes before the first goes, and goes after it."""
    first_is_in, second_is_in, first_is_out = (threading.Event() for _ in range(3))

    def first():
        with hold():
            first_is_in.set()
            assert second_is_in.wait(TIMEOUT_S)
        first_is_out.set()

    def second():
        assert first_is_in.wait(TIMEOUT_S)
        with hold():
            second_is_in.set()
            assert first_is_out.wait(TIMEOUT_S)

    with ThreadPoolExecutor(2) as pool:
        for one in [pool.submit(run) for run in (first, second)]:
            one.result(TIMEOUT_S)


def test_the_first_changes_and_the_last_restores(settings, log):
    overlap(settings.hold)
    assert log == ["changed", "restored"]
    overlap(settings.hold)
    assert log == ["changed", "restored"] * 2


def test_every_holder_is_given_what_was_found(settings):
    with settings.hold() as first, settings.hold() as second:
        assert first == second == 1


def test_an_error_within_restores(settings, log):
    with pytest.raises(ValueError, match="within"), settings.hold():
        raise ValueError("within")
    assert log == ["changed", "restored"]


def test_two_threads_leave_the_flags_of_convolutions_as_they_were():
    flags = torch.backends.cudnn
    before = (flags.enabled, flags.benchmark, flags.deterministic, flags.allow_tf32)
    assert before != (True, False, True, False)
    overlap(EXACT_CONVOLUTIONS.hold)
    assert (flags.enabled, flags.benchmark, flags.deterministic, flags.allow_tf32) == before
