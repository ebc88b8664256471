"""Takes FFmpeg, and its OpenSSL 1.1.1, out of OpenCV's wheel: 32 MB that no request reaches.

OpenCV's module is linked to FFmpeg for video files, so it loads only where libraries of those names
have every function that it names. They get replaced by libraries whose functions end the process:
no video and no network stream can be opened by way of OpenCV in the image.

    without_video.py SITE_PACKAGES      (needs Debian's binutils)
"""

import platform
import re
import subprocess
import sys
from collections import defaultdict
from pathlib import Path

FFMPEG = re.compile(r"lib(avcodec|avformat|avutil|swscale)-")
ILLEGAL_INSTRUCTION = {"x86_64": "ud2", "aarch64": "udf #0"}


def read_elf(option: str, library: Path) -> str:
    """What `readelf` says of a library."""
    done = subprocess.run(
        ["readelf", "--wide", option, library], capture_output=True, text=True, check=True
    )
    return done.stdout


def list_needed(library: Path) -> list[str]:
    """Names of the libraries that one is linked to."""
    return re.findall(r"\(NEEDED\).*\[(.+)\]", read_elf("--dynamic", library))


def list_functions(library: Path) -> dict[str, list[str]]:
    """Version as FFmpeg names it, such as LIBAVCODEC_62 -> functions that a library wants of it."""
    functions = defaultdict(list)
    for name, version in re.findall(
        r"FUNC .* UND (\w+)@(LIB(?:AV|SW)[A-Z]+_\d+)", read_elf("--dyn-syms", library)
    ):
        functions[version].append(name)
    return dict(functions)


def write_closed_library(path: Path, version: str, functions: list[str]) -> None:
    """Put a library in the place of another, of the same name, whose every function is a trap."""
    instruction = ILLEGAL_INSTRUCTION[platform.machine()]
    labels = [f".globl {name}\n.type {name}, %function\n{name}:" for name in sorted(functions)]
    source = "\n".join([".text", *labels, instruction, '.section .note.GNU-stack,"",%progbits', ""])
    compiled, versions = path.with_suffix(".o"), path.with_suffix(".map")
    subprocess.run(["as", "-o", compiled, "-"], input=source, text=True, check=True)
    versions.write_text(f"{version} {{ global: *; }};\n")
    path.unlink()
    link = ["ld", "-shared", "-z", "noexecstack", f"--soname={path.name}"]
    link += [f"--version-script={versions}", "-o", str(path), str(compiled)]
    subprocess.run(link, check=True)
    compiled.unlink()
    versions.unlink()


def remove_video(packages: Path) -> list[str]:
    """Replace FFmpeg's libraries, and remove what only they needed.

    Args:
        packages: `site-packages` of the image's virtual environment.

    Returns:
        Names of what was replaced or removed; empty where OpenCV's wheel has no FFmpeg.

    Raises:
        ValueError: A library of FFmpeg offers none of the versions that OpenCV wants.
    """
    folder = packages / "opencv_python_headless.libs"
    (module,) = (packages / "cv2").glob("cv2*.so")
    functions = list_functions(module)
    replaced = []
    for path in sorted(path for path in folder.iterdir() if FFMPEG.match(path.name)):
        name = FFMPEG.match(path.name)[1].upper()  # type: ignore[index]
        wanted = [version for version in functions if version.startswith(f"LIB{name}_")]
        if len(wanted) != 1:
            raise ValueError(f"expected one version of {path.name}, OpenCV wants {wanted}")
        write_closed_library(path, wanted[0], functions[wanted[0]])
        replaced.append(path.name)
    return replaced + remove_orphans(folder, module)


def remove_orphans(folder: Path, module: Path) -> list[str]:
    """Remove the libraries of a folder that neither a module nor what it needs is linked to."""
    kept: set[str] = set()
    waiting = [module]
    while waiting:
        names = {name for name in list_needed(waiting.pop()) if (folder / name).exists()}
        waiting += [folder / name for name in names - kept]
        kept |= names
    orphans = sorted(path for path in folder.iterdir() if path.name not in kept)
    for path in orphans:
        path.unlink()
    return [path.name for path in orphans]


def main() -> None:
    """Do it in the folder that the command names."""
    print("without:", *remove_video(Path(sys.argv[1])))


if __name__ == "__main__":
    main()
