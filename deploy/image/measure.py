"""Prints what takes the space of an image, largest first, in MB of 10^6 bytes.

docker export $(docker create IMAGE) | tar -x -C ROOT
measure.py ROOT [SMALLEST_MB]
"""

import sys
from importlib.metadata import Distribution, distributions
from pathlib import Path

MEGABYTE = 10**6
PACKAGES = "opt/venv/lib/python3.11/site-packages"


def count_bytes(paths: set[Path]) -> int:
    """Size of files together."""
    return sum(path.lstat().st_size for path in paths)


def list_files(folder: Path) -> set[Path]:
    """Every file below a folder, links among them."""
    return {path for path in folder.rglob("*") if path.is_symlink() or path.is_file()}


def list_installed(distribution: Distribution) -> set[Path]:
    """The files of a package that are there."""
    files = {Path(distribution.locate_file(file)).resolve() for file in distribution.files or ()}
    return {file for file in files if file.is_file()}


def measure(root: Path) -> dict[str, int]:
    """What an image is made of.

    Args:
        root: holds its files.

    Returns:
        Part -> bytes; together they are all files of the image.
    """
    root = root.resolve()
    left = list_files(root)
    parts: dict[str, int] = {}

    def take(name: str, files: set[Path]) -> None:
        parts[name] = count_bytes(files & left)
        left.difference_update(files)

    take("modules compiled beforehand", {path for path in left if path.suffix == ".pyc"})
    take("expofuse and its weights", list_files(root / "opt/expofuse"))
    for distribution in distributions(path=[str(root / PACKAGES)]):
        take(distribution.metadata["Name"], list_installed(distribution))
    take("Python", list_files(root / "usr/lib/python3.11") | {root / "usr/bin/python3.11"})
    take("libraries of Debian, licences, certificates", left.copy())
    return parts


def main() -> None:
    """Print the table of the root that the command names."""
    root, smallest = Path(sys.argv[1]), float(sys.argv[2]) if len(sys.argv) > 2 else 0.0
    parts = measure(root)
    rest = 0
    for name, size in sorted(parts.items(), key=lambda part: -part[1]):
        if size < smallest * MEGABYTE:
            rest += size
        else:
            print(f"{size / MEGABYTE:8.1f}  {name}")
    print(f"{rest / MEGABYTE:8.1f}  smaller ones")
    print(f"{sum(parts.values()) / MEGABYTE:8.1f}  together")


if __name__ == "__main__":
    main()
