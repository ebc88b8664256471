"""Shared memory blocks: one owner, many guests, nothing left behind."""

import multiprocessing
import os
import pickle
import resource
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from service.errors import SharedMemoryError
from service.processes import shared_memory as shared
from service.processes.shared_memory import (
    AttachedBlock,
    SharedArray,
    SharedDescriptor,
    require_shared_memory,
    shared_memory_free_bytes,
    sweep_stale_blocks,
)
from tests.paths import ROOT


def blocks():
    return {path.name for path in shared.MOUNT.glob(f"{shared.PREFIX}{os.getpid()}-*")}


def read_shared_memory():
    """Bytes of shared memory that this process has resident."""
    fields = Path("/proc/self/statm").read_text().split()
    return int(fields[2]) * os.sysconf("SC_PAGE_SIZE")


def test_a_block_carries_an_array_by_its_descriptor():
    with SharedArray.create((4, 5, 3), "uint16") as block:
        block.array[:] = np.arange(60).reshape(4, 5, 3)
        descriptor = pickle.loads(pickle.dumps(block.descriptor))
        assert descriptor.size_bytes == 120
        array = AttachedBlock(descriptor.name).view(descriptor)
        assert array.dtype == np.uint16
        np.testing.assert_array_equal(array, np.arange(60).reshape(4, 5, 3))
        array[0, 0, 0] = 7
        assert block.array[0, 0, 0] == 7
    assert not blocks()


def test_a_descriptor_with_another_shape_of_the_same_size_attaches():
    with SharedArray.create((4, 6, 3), "uint8") as block:
        block.array[:] = np.arange(72).reshape(4, 6, 3)
        turned = SharedDescriptor(block.descriptor.name, (6, 4, 3), "uint8")
        array = AttachedBlock(turned.name).view(turned)
        np.testing.assert_array_equal(array.ravel(), np.arange(72))


def test_unlink_is_idempotent_and_takes_the_block_away():
    block = SharedArray.create((8,), "uint8")
    block.unlink()
    block.unlink()
    with pytest.raises(SharedMemoryError, match="got a removed one"):
        AttachedBlock(block.descriptor.name)
    with pytest.raises(ValueError, match="unlinked"):
        _ = block.array


def test_unlink_survives_an_emptied_mount():
    block = SharedArray.create((8,), "uint8")
    (shared.MOUNT / block.descriptor.name).unlink()
    # The resource tracker still holds the name; the block is made anew so that it can let go.
    (shared.MOUNT / block.descriptor.name).touch()
    block.unlink()
    assert not blocks()


def test_an_attached_block_outlives_its_name():
    block = SharedArray.create((8,), "uint8")
    attached = AttachedBlock(block.descriptor.name)
    block.unlink()
    attached.view(block.descriptor)[:] = 3
    view = attached.view(block.descriptor)[2:]
    attached.close()
    assert int(view.sum()) == 18


def test_a_view_larger_than_its_block_is_refused():
    with SharedArray.create((8,), "uint8") as block:
        larger = SharedDescriptor(block.descriptor.name, (9,), "uint8")
        with pytest.raises(SharedMemoryError, match="at least 9 bytes, got 8"):
            AttachedBlock(larger.name).view(larger)


def test_freeing_a_block_frees_memory_that_another_has_mapped():
    block = SharedArray.create((64 << 20,), "uint8")
    attached = AttachedBlock(block.descriptor.name)
    attached.view(block.descriptor)[:] = 1
    held = read_shared_memory()
    block.free()
    assert not block.is_linked
    assert held - read_shared_memory() >= 60 << 20
    assert not blocks()
    attached.close()


def test_a_block_whose_name_is_gone_says_so():
    block = SharedArray.create((8,), "uint8")
    assert block.is_linked
    (shared.MOUNT / block.descriptor.name).unlink()
    assert not block.is_linked
    # As above, for the resource tracker.
    (shared.MOUNT / block.descriptor.name).touch()
    block.unlink()


def test_create_refuses_an_empty_shape():
    with pytest.raises(ValueError, match="at least one value"):
        SharedArray.create((0, 3), "uint8")


def test_create_refuses_more_than_there_is_and_leaves_nothing():
    with pytest.raises(SharedMemoryError, match="of free shared memory"):
        SharedArray.create((shared_memory_free_bytes() + (1 << 30),), "uint8")
    assert not blocks()


def test_where_no_file_may_be_opened_that_is_the_error_and_nothing_is_left():
    most = resource.getrlimit(resource.RLIMIT_NOFILE)
    highest = os.open(os.devnull, os.O_RDONLY)  # All numbers below it are taken.
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (highest + 1, most[1]))
        with pytest.raises(OSError, match="Too many open files"):
            SharedArray.create((16,), "uint8")
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, most)
        os.close(highest)
    assert not blocks()


def test_the_memory_is_claimed_at_creation():
    with SharedArray.create((1 << 20,), "uint8") as block:
        assert (shared.MOUNT / block.descriptor.name).stat().st_blocks * 512 >= 1 << 20


def test_the_start_check_says_what_to_do():
    require_shared_memory(1)
    with pytest.raises(SharedMemoryError, match=r"--shm-size.*shm_size.*emptyDir"):
        require_shared_memory(shared_memory_free_bytes() * 2)


def _attach_and_wait(descriptor, ready):
    AttachedBlock(descriptor.name).view(descriptor)[0] = 42
    ready.set()
    time.sleep(60)


@pytest.mark.parametrize("ending", [signal.SIGKILL, signal.SIGTERM])
def test_a_guest_that_is_killed_takes_nothing_with_it(ending):
    context = multiprocessing.get_context("spawn")
    with SharedArray.create((16,), "uint8") as block:
        ready = context.Event()
        guest = context.Process(target=_attach_and_wait, args=(block.descriptor, ready))
        guest.start()
        assert ready.wait(300)
        os.kill(guest.pid, ending)
        guest.join(300)
        guest.close()
        assert block.array[0] == 42
        assert block.descriptor.name in blocks()
    assert not blocks()


def run_owner(code):
    code = (
        f"from service.processes.shared_memory import SharedArray\nimport os, signal, sys\n{code}"
    )
    return subprocess.run(
        [sys.executable, "-c", code],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )


def test_an_owner_that_ends_leaves_no_block_and_no_complaint():
    result = run_owner(
        "block = SharedArray.create((9,), 'uint8'); print(block.descriptor.name); block.unlink()"
    )
    assert result.returncode == 0
    assert result.stderr == ""
    assert not (shared.MOUNT / result.stdout.strip()).exists()


def test_blocks_of_a_killed_owner_go_with_the_resource_tracker():
    result = run_owner(
        "block = SharedArray.create((9,), 'uint8'); print(block.descriptor.name, flush=True);"
        "os.kill(os.getpid(), signal.SIGKILL)"
    )
    assert result.returncode == -signal.SIGKILL
    # The pipes are closed only when the tracker, which shares them, has ended too.
    assert not (shared.MOUNT / result.stdout.strip()).exists()


def test_stale_blocks_are_swept_and_living_ones_stay():
    stale = shared.MOUNT / f"{shared.PREFIX}{os.getpid()}-stale"
    stale.write_bytes(b"left behind")
    with SharedArray.create((8,), "uint8") as block:
        assert sweep_stale_blocks(min_age_s=3600) == 0
        assert stale.exists()
        sweep_stale_blocks(min_age_s=0)
        assert not stale.exists()
        assert block.array.size == 8
        assert block.descriptor.name in blocks()
