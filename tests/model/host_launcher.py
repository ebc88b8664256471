"""Computes the GPU's kernels on the CPU: their source, compiled as C, block after block."""

import ctypes
import subprocess
import sys
from pathlib import Path

import pytest

from model.kernels.grids import FOLDER, SOURCE, Grid

FLAGS = ("-x", "c", "-std=c11", "-O2", "-Wall", "-Wextra", "-Werror", "-ffp-contract=on")
CHECKED = ("-fsanitize=undefined", "-fsanitize-trap=undefined")


class HostLauncher:
    """See `model.kernels.grids.Launcher`; it remembers what it computed."""

    def __init__(self, library: ctypes.CDLL) -> None:
        self._library = library
        self.launched: list[str] = []

    def launch(self, name: str, given: ctypes.Structure, grid: Grid) -> None:
        self.launched.append(name)
        left = getattr(self._library, name)(ctypes.byref(given), *grid)
        assert left == 0, f"{left} blocks of {name} wrote outside their room of {grid.room_bytes}"


def compile_kernels(folder: Path, *flags: str) -> ctypes.CDLL:
    """Compile them by the compiler of the CPU's kernels."""
    pytest.importorskip("ziglang", reason="the compiler of the kernels, of the extra 'dev'")
    target = folder / "fusion.so"
    command = [sys.executable, "-m", "ziglang", "cc", *FLAGS, *CHECKED, *flags]
    command += ["-fPIC", "-shared", "-o", str(target), str(FOLDER / SOURCE)]
    subprocess.run(command, check=True)
    return ctypes.CDLL(str(target))
