"""Which devices a confined process may use: those that it is left, and no other."""

import subprocess
import sys

import pytest

from service.processes.landlock import find_version
from tests.paths import ROOT

PROGRAM = """
import errno, fcntl, os, sys, termios
from pathlib import Path
from service.processes.landlock import allow_only
from service.processes.shared_memory import MOUNT

allow_only([], [MOUNT], [Path("/dev/zero"), Path("/dev/no-such-device")])

def use(path):
    try:
        node = os.open(path, os.O_RDWR)
    except PermissionError:
        return "refused"
    try:
        fcntl.ioctl(node, termios.TCGETS, bytes(64))
    except OSError as error:
        return errno.errorcode[error.errno]

sys.stdout.write(f"{use('/dev/zero')} {use('/dev/full')}")
"""


def has_landlock() -> bool:
    try:
        return find_version() > 0
    except OSError:
        return False


@pytest.mark.skipif(not has_landlock(), reason="needs a kernel with Landlock")
def test_a_device_that_is_left_is_opened_and_controlled_and_no_other_is():
    said = subprocess.run(
        [sys.executable, "-c", PROGRAM], cwd=ROOT, capture_output=True, text=True, check=True
    )
    # The device itself answers that it is no terminal: the call has come to it.
    assert said.stdout == "ENOTTY refused"
