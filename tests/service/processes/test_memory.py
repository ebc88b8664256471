"""What a process has for itself is counted, what it shares is not."""

import os
import subprocess
import sys

import numpy as np

from service.processes.memory import count_private_bytes
from service.processes.shared_memory import SharedArray

MIB = 2**20


def test_what_a_process_takes_is_counted_and_a_shared_block_is_not():
    before = count_private_bytes([os.getpid()])
    taken = np.ones(64 * MIB, np.uint8)
    block = SharedArray.create((64 * MIB,), "uint8")
    block.array[:] = 1
    grown = count_private_bytes([os.getpid()]) - before
    assert 60 * MIB < grown < 100 * MIB
    del taken
    block.unlink()


def test_processes_are_summed_and_those_that_are_gone_count_nothing():
    other = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    own = count_private_bytes([os.getpid()])
    assert count_private_bytes([os.getpid(), other.pid]) > own / 2
    other.communicate(b"\n")
    assert count_private_bytes([other.pid]) == count_private_bytes([]) == 0
