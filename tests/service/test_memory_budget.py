"""Budgets fit the memory of the machine or of the container."""

import logging

import pytest

from service.memory_budget import (
    LEAST_BYTES,
    LEAST_MEGAPIXELS,
    MEMORY_SHARE,
    fit_memory,
    sum_bounds,
)
from service.processes.control_groups import find_memory_bytes
from service.settings import LimitSettings

GIB = 2**30


def test_budgets_that_fit_are_kept(caplog):
    limits = LimitSettings(memory_bytes=64 * GIB)
    with caplog.at_level(logging.WARNING):
        assert fit_memory(limits, codec_processes=2) == limits
    assert not caplog.records


@pytest.mark.parametrize("memory", [1, 2, 4, 8])
@pytest.mark.parametrize("codec_processes", [1, 2, 4])
def test_what_is_left_fits_and_is_said(caplog, memory, codec_processes):
    limits = LimitSettings(memory_bytes=memory * GIB)
    with caplog.at_level(logging.WARNING):
        fitted = fit_memory(limits, codec_processes=codec_processes)
    most = memory * GIB * MEMORY_SHARE
    assert sum_bounds(fitted, codec_processes=codec_processes) == pytest.approx(most, rel=1e-6)
    assert fitted.max_megapixels <= fitted.max_megapixels_in_flight < 150
    assert fitted.max_body_bytes <= fitted.max_upload_bytes < limits.max_upload_bytes
    assert fitted.max_response_bytes < limits.max_response_bytes
    assert "memory is smaller" in caplog.text
    LimitSettings.model_validate(fitted.model_dump())


def test_hardly_any_memory_leaves_a_service_that_can_do_something():
    fitted = fit_memory(LimitSettings(memory_bytes=1 << 20), codec_processes=2)
    assert fitted.max_megapixels == fitted.max_megapixels_in_flight == LEAST_MEGAPIXELS
    assert fitted.max_body_bytes == fitted.max_response_bytes == LEAST_BYTES


def test_unset_it_is_what_there_is():
    assert fit_memory(LimitSettings(), codec_processes=2).memory_bytes == find_memory_bytes()
