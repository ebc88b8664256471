"""Blocks that stay mapped in a process: known again, and let go when they are gone."""

from pathlib import Path

import numpy as np
import pytest

from service.errors import SharedMemoryError
from service.processes import known_blocks
from service.processes.known_blocks import KnownBlocks
from service.processes.shared_memory import SharedArray, SharedDescriptor


def count_mapped(name: str) -> int:
    return Path("/proc/self/maps").read_text().count(name)


def test_a_block_is_mapped_once_whatever_its_shape():
    known = KnownBlocks()
    with SharedArray.create((60,), "uint8") as block:
        name = block.descriptor.name
        known.attach(SharedDescriptor(name, (4, 5, 3), "uint8"))[:] = 7
        assert (known.attach(SharedDescriptor(name, (30,), "uint16")) == 7 * 257).all()
        assert count_mapped(name) == 1
        with pytest.raises(SharedMemoryError, match="at least 61 bytes, got 60"):
            known.attach(SharedDescriptor(name, (61,), "uint8"))


def test_what_is_gone_is_unmapped_and_what_is_there_stays():
    known = KnownBlocks()
    with SharedArray.create((60,), "uint8") as stays:
        gone = SharedArray.create((60,), "uint8")
        for block in (gone, stays):
            known.attach(block.descriptor)[:] = 3
        known.forget_gone()
        assert len(known) == 2
        gone.unlink()
        known.forget_gone()
        assert len(known) == 1
        assert count_mapped(gone.descriptor.name) == 0
        assert known.attach(stays.descriptor)[0] == 3
        with pytest.raises(SharedMemoryError, match="got a removed one"):
            known.attach(gone.descriptor)


def test_a_view_that_is_held_outlives_its_mapping():
    known = KnownBlocks()
    block = SharedArray.create((60,), "uint8")
    view = known.attach(block.descriptor)
    block.unlink()
    known.forget_gone()
    view[:] = 5
    assert int(view.sum()) == 300


def test_the_block_that_was_used_longest_ago_gives_way(monkeypatch):
    monkeypatch.setattr(known_blocks, "MAX_KNOWN", 2)
    known = KnownBlocks()
    made = [SharedArray.create((8,), "uint8") for _ in range(3)]
    first, second, third = made
    try:
        for block in (first, second, first, third):
            known.attach(block.descriptor)[:] = np.uint8(9)
        assert len(known) == 2
        mapped = [count_mapped(block.descriptor.name) for block in made]
        assert mapped == [1, 0, 1]
        assert known.attach(second.descriptor)[0] == 9
    finally:
        for block in made:
            block.unlink()
