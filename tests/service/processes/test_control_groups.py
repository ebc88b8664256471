"""What control groups of either version let a process have."""

import os

import pytest

from service.processes.control_groups import find_free_bytes, find_memory_bytes

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


def test_what_is_free_is_what_the_kernel_cannot_take_back_below_the_limit(tmp_path):
    write(tmp_path, "proc/self/cgroup", "0::/pod/container\n")
    write(tmp_path, "sys/fs/cgroup/pod/container/memory.max", "1000\n")
    write(tmp_path, "sys/fs/cgroup/pod/container/memory.stat", "anon 300\nfile 9000\nshmem 200\n")
    assert find_free_bytes(tmp_path) == 500
    write(tmp_path, "sys/fs/cgroup/pod/memory.max", "1000\n")
    write(tmp_path, "sys/fs/cgroup/pod/memory.stat", "anon 800\nshmem 400\n")
    assert find_free_bytes(tmp_path) == 0


def test_version_1_tells_it_by_other_names(tmp_path):
    write(tmp_path, "proc/self/cgroup", "4:memory:/\n0::/\n")
    write(tmp_path, "sys/fs/cgroup/memory/memory.limit_in_bytes", "1000\n")
    stat = "rss 1\nshmem 2\ntotal_rss 100\ntotal_shmem 50\ntotal_cache 700\n"
    write(tmp_path, "sys/fs/cgroup/memory/memory.stat", stat)
    assert find_free_bytes(tmp_path) == 850


@pytest.mark.parametrize("stat", ["", "anon\n", "anon many\n", "file 5\n"])
def test_where_nothing_is_told_nothing_is_known(tmp_path, stat):
    assert find_free_bytes(tmp_path) is None
    write(tmp_path, "proc/self/cgroup", "0::/\n")
    write(tmp_path, "sys/fs/cgroup/memory.max", "1000\n")
    write(tmp_path, "sys/fs/cgroup/memory.stat", stat)
    assert find_free_bytes(tmp_path) is None
