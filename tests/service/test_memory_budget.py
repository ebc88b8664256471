"""Budgets fit the memory of the machine or of the container."""

import logging
import os

import pytest

from service.memory_budget import (
    LEAST_BYTES,
    LEAST_MEGAPIXELS,
    MEMORY_SHARE,
    find_memory_bytes,
    fit_memory,
    sum_bounds,
)
from service.settings import LimitSettings

GIB = 2**30
PHYSICAL = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")


def write(root, path, text):
    file = root / path
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text)


def test_without_control_groups_it_is_the_machines_memory(tmp_path):
    assert find_memory_bytes(tmp_path) == PHYSICAL


def test_a_container_sees_its_own_limit_as_the_root_of_version_2(tmp_path):
    write(tmp_path, "proc/self/cgroup", "0::/\n")
    write(tmp_path, "sys/fs/cgroup/memory.max", f"{GIB}\n")
    assert find_memory_bytes(tmp_path) == GIB


def test_a_group_above_may_limit_more(tmp_path):
    write(tmp_path, "proc/self/cgroup", "0::/pod/container\n")
    write(tmp_path, "sys/fs/cgroup/pod/container/memory.max", "max\n")
    write(tmp_path, "sys/fs/cgroup/pod/memory.max", f"{GIB // 2}\n")
    assert find_memory_bytes(tmp_path) == GIB // 2


def test_version_1_has_a_limit_of_its_own(tmp_path):
    write(tmp_path, "proc/self/cgroup", "9:name=systemd:/\n4:cpu,memory:/docker/abc\n0::/\n")
    write(tmp_path, "sys/fs/cgroup/memory/memory.limit_in_bytes", f"{GIB // 4}\n")
    assert find_memory_bytes(tmp_path) == GIB // 4
    write(tmp_path, "sys/fs/cgroup/memory/docker/abc/memory.limit_in_bytes", f"{GIB // 8}\n")
    assert find_memory_bytes(tmp_path) == GIB // 8


@pytest.mark.parametrize("text", ["9223372036854771712\n", "max\n", "", "a lot\n", "\xff"])
def test_no_limit_is_none(tmp_path, text):
    write(tmp_path, "proc/self/cgroup", "4:memory:/\n0::/\n")
    write(tmp_path, "sys/fs/cgroup/memory/memory.limit_in_bytes", text)
    assert find_memory_bytes(tmp_path) == PHYSICAL


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
