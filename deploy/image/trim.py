"""Removes from installed packages what no running service uses, and prints what each rule saved.

trim.py SITE_PACKAGES      (needs Debian's binutils)
"""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from shutil import rmtree

UNUSED = {
    "tests of numpy": ("numpy/**/tests", "numpy/conftest.py"),
    "tools of numpy": ("numpy/distutils", "numpy/f2py", "numpy/_core/include", "numpy/_core/lib"),
    "tools of onnxruntime": (
        "onnxruntime/backend", "onnxruntime/datasets", "onnxruntime/quantization",
        "onnxruntime/tools", "onnxruntime/transformers",
    ),
    # Python's module contains the library itself; this is the one for programs in C.
    "the second copy of onnxruntime": ("onnxruntime/capi/libonnxruntime.so*",),
    # The module is linked to libraw_r.so.25; a wheel has copies where a system has links.
    "further copies of libraw": ("rawpy/libraw_r.so", "rawpy/libraw_r.so.*.*.*"),
    # Of an extra: its wheel holds a module for each Python.
    "nvimagecodec for other Pythons": (
        "nvidia/nvimgcodec/*.cpython-39-*", "nvidia/nvimgcodec/*.cpython-310-*",
        "nvidia/nvimgcodec/*.cpython-31[2-9]*", "nvidia/nvimgcodec/include",
        "nvidia/nvimgcodec/tools",
    ),
    # It is in the syntax of Python 3.12, which the image's 3.11 cannot compile.
    "a test of torch": ("torch/testing/_internal/py312_intrinsics.py",),
    "declarations and sources for compilers": ("**/*.pyi", "**/*.pxd", "**/*.pyx"),
}  # fmt: skip
"""Reason -> patterns below the folder of installed packages."""

WITH_SYMBOLS = ("uvloop/loop.*.so", "PIL/_imaging*.so")
"""Modules whose symbols for debuggers are larger than they. Others have few, or were rewritten by
the tool that makes wheels, and break when the one that removes symbols rewrites them again."""


def find(packages: Path, patterns: tuple[str, ...]) -> Iterator[Path]:
    """What the patterns find below a folder."""
    for pattern in patterns:
        yield from sorted(packages.glob(pattern))


def count_bytes(path: Path) -> int:
    """Size of a file, or of all that a folder holds."""
    if path.is_dir():
        return sum(file.lstat().st_size for file in path.rglob("*") if not file.is_dir())
    return path.lstat().st_size


def trim(packages: Path) -> dict[str, int]:
    """Remove it.

    Args:
        packages: `site-packages` of the image's virtual environment.

    Returns:
        Bytes that each reason saved, 0 where nothing was found.
    """
    saved = dict.fromkeys(UNUSED, 0)
    for reason, patterns in UNUSED.items():
        for path in find(packages, patterns):
            if not path.exists():
                continue
            saved[reason] += count_bytes(path)
            rmtree(path) if path.is_dir() else path.unlink()
    return saved


def remove_symbols(packages: Path) -> int:
    """Remove what only debuggers read from the modules that have much of it.

    Returns:
        Bytes that it saved.
    """
    modules = list(find(packages, WITH_SYMBOLS))
    before = sum(map(count_bytes, modules))
    subprocess.run(["strip", "--strip-unneeded", *modules], check=True)
    return before - sum(map(count_bytes, modules))


def main() -> None:
    """Trim the folder that the command names."""
    packages = Path(sys.argv[1])
    saved = trim(packages) | {"symbols for debuggers": remove_symbols(packages)}
    for reason, size in saved.items():
        print(f"{size / 1e6:6.1f} MB: {reason}")


if __name__ == "__main__":
    main()
