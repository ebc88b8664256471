"""Compiles `model/kernels`; everything else about the package is in pyproject.toml.

They are plain shared libraries, which need no headers of Python and serve every version of it. The
compiler is Zig's, which pip fetches for the build alone, so that no machine needs one of its own.
"""

import platform
import subprocess
import sys
from pathlib import Path

from setuptools import Extension, setup
from setuptools.command.build_ext import build_ext

FLAGS = (
    "-std=c11", "-O3", "-g0", "-fPIC", "-shared", "-Wall", "-Wextra", "-Werror",
    # A product and a sum in one expression are one operation where the machine has it: the same
    # one in every loop, so that a pixel's bits do not depend on where its row is cut.
    "-ffp-contract=on",
)  # fmt: skip
KERNELS: dict[str, tuple[str, ...]] = {
    "any": ("-mcpu=baseline",),
    "avx2": ("-mcpu=x86_64_v3",),
    # Left to itself the compiler splits its vectors of 512 bits, as early processors needed.
    "avx512": ("-mcpu=x86_64_v4", "-mprefer-vector-width=512"),
}
"""Flags of each library, by the machines it is for; `model/kernels/native.py` chooses. Left to
itself the compiler uses whatever the machine has that it runs on, and no older one could follow."""

SOURCES = tuple(
    f"model/kernels/{name}.c"
    for name in (
        "area",
        "collapse",
        "contradiction",
        "levels",
        "look",
        "patches",
        "reduce",
        "spectrum",
        "warp",
    )
)
HEADERS = tuple(
    f"model/kernels/{name}.h"
    for name in ("arithmetic", "colour", "colour_rule", "pixels", "rgb", "scalars", "steps")
)

X86 = {"x86_64", "amd64"}


class CompileKernels(build_ext):
    """Compiles each library by one call of the compiler, all of them at a time."""

    def initialize_options(self) -> None:
        """As many calls at a time as there are cores, unless an option says otherwise."""
        super().initialize_options()
        self.parallel = True

    def get_ext_filename(self, fullname: str) -> str:
        """Name of a library's file: that of its module, without Python's tag."""
        return str(Path(*fullname.split(".")).with_suffix(".so"))

    def build_extension(self, ext: Extension) -> None:
        """Compile one library into its place."""
        target = Path(self.get_ext_fullpath(ext.name))
        target.parent.mkdir(parents=True, exist_ok=True)
        command = [sys.executable, "-m", "ziglang", "cc", *FLAGS, *ext.extra_compile_args]
        subprocess.run([*command, "-o", target, *ext.sources], check=True)


def list_libraries() -> list[Extension]:
    """The libraries that the machine that is built for can run."""
    is_x86 = platform.machine().lower() in X86
    return [
        Extension(
            f"model.kernels.native_{name}",
            sources=list(SOURCES),
            depends=list(HEADERS),
            extra_compile_args=list(flags),
        )
        for name, flags in KERNELS.items()
        if name == "any" or is_x86
    ]


setup(cmdclass={"build_ext": CompileKernels}, ext_modules=list_libraries())
