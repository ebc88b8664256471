"""Runs the programme `enfuse`, where it is installed."""

import shutil
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

from model.exposure import Pixels
from trainer.errors import DataError
from trainer.evaluation.pictures import fit_to, read_picture, write_png
from trainer.evaluation.scenes import EvaluationScene, Sources

TIMEOUT_S = 600.0


@dataclass(frozen=True, slots=True)
class EnfuseMethod:
    """The programme `enfuse` with its default weights, on all exposures.

    Attributes:
        binary: Its path.
        version: The line by which it names itself.
    """

    binary: str
    version: str
    label: str = "enfuse"

    def applies_to(self, scene: EvaluationScene) -> bool:
        """See `Method.applies_to`."""
        return True

    def fingerprint(self, scene: EvaluationScene) -> str:
        """See `Method.fingerprint`."""
        return self.version

    def fuse(self, sources: Sources) -> Pixels:
        """See `Method.fuse`."""
        stack = sources.exposures
        with tempfile.TemporaryDirectory() as folder:
            paths = [Path(folder) / f"{number:02d}.png" for number in range(len(stack))]
            for path, exposure in zip(paths, stack.exposures, strict=True):
                write_png(path, exposure)
            fused = Path(folder) / "fused.png"
            self._run(paths, fused)
            return fit_to(read_picture(fused), stack.height, stack.width)

    def _run(self, paths: list[Path], fused: Path) -> None:
        try:
            ended = subprocess.run(
                [self.binary, f"--output={fused}", *map(str, paths)],
                capture_output=True,
                text=True,
                errors="replace",
                timeout=TIMEOUT_S,
                check=False,
            )
        except subprocess.TimeoutExpired as cause:
            raise DataError(
                f"expected a picture from enfuse within {TIMEOUT_S:g} s, got none"
            ) from cause
        if ended.returncode != 0 or not fused.exists():
            last = ended.stderr.strip().rpartition("\n")[2].replace(f"{fused.parent}/", "")
            raise DataError(
                f"expected a picture from enfuse, got status {ended.returncode}: {last}"
            )


def find_enfuse() -> EnfuseMethod | None:
    """The installed `enfuse`, None where there is none."""
    binary = shutil.which("enfuse")
    if binary is None:
        return None
    said = subprocess.run([binary, "--version"], capture_output=True, text=True, check=False)
    return EnfuseMethod(binary, said.stdout.partition("\n")[0].strip())
