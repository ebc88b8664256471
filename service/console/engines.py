"""Fuses here or through a service: two engines that answer alike."""

import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, cast

from expofuse.bundled_weights import DEFAULT_WEIGHTS, locate_weights
from service.console.clients import explaining_client, make_client_options, open_client
from service.console.exits import EXIT_MISUSED, CommandError
from service.console.options import FuseChoices
from service.console.output import PIPE, write_json

if TYPE_CHECKING:
    from expofuse.client import Client, Fused
    from expofuse.kinds import FileOptions, Files
    from expofuse.open_weights import OpenWeights

Exposure = Path | bytes


@dataclass(frozen=True, slots=True)
class Picture:
    """A fused picture and how it came about; exposures are numbered from 1 as given.

    Attributes:
        content: The file.
        weights: Name and version of the weights that fused it.
        alignment: Outcome of the alignment, as the service says it.
        order: The exposures dark to bright.
        fused: Those that the picture is made of.
        reference: The exposure that stayed where it is.
        replaced_share: Share of the picture in which an exposure was replaced, 0..1.
    """

    content: bytes
    weights: str
    alignment: str
    order: tuple[int, ...]
    fused: tuple[int, ...]
    reference: int
    replaced_share: float

    def describe(self) -> dict[str, object]:
        """How it came about, as JSON says it."""
        return {
            "weights": self.weights,
            "alignment": self.alignment,
            "order": list(self.order),
            "fused": list(self.fused),
            "reference": self.reference,
            "replaced_share": round(self.replaced_share, 4),
        }

    def summarise(self) -> str:
        """The same on one line."""
        from model.describe import describe_order

        order = describe_order(tuple(number - 1 for number in self.order))
        return f"{self.weights}; {self.alignment}; {order}"


class Engine(Protocol):
    """Where pictures are fused; threads may share it."""

    def fuse(self, exposures: Sequence[Exposure], choices: FuseChoices) -> Picture:
        """Fuse the exposures of one scene."""
        ...

    def identify_weights(self, choices: FuseChoices) -> str:
        """What tells the weights that would fuse from all others."""
        ...


class LocalEngine:
    """Fuses in this process; the two halves of a fusion may run in two.

    Args:
        threads: Of the CPU's computation; None takes every core.
    """

    def __init__(self, *, threads: int | None = None) -> None:
        from expofuse.files.reading.vips import configure_libvips

        # This process is ours alone, and is to print nothing of a file's contents.
        configure_libvips()
        self._threads = threads

    def fuse(self, exposures: Sequence[Exposure], choices: FuseChoices) -> Picture:
        """See `Engine.fuse`."""
        self._open_weights(choices)  # Whether there are any is known before anything is read.
        return self.fuse_read(self.read(exposures, choices), choices)

    def read(self, exposures: Sequence[Exposure], choices: FuseChoices) -> "Files":
        """The first half: read and decode the exposures of one scene.

        Raises:
            FusionError: They are too few or too many, or a file is none that is read.
            OSError: A file cannot be read.
        """
        from expofuse.kinds import Files
        from model.exposure import check_count

        check_count(len(exposures))
        given = {
            "format": choices.format,
            "quality": choices.quality,
            "bits": choices.bit_depth,
            "subsampling": choices.subsampling,
            "is_progressive": choices.progressive,
            "metadata": choices.metadata,
            "profile": choices.profile,
        }
        options = {name: value for name, value in given.items() if value is not None}
        files = Files(exposures, cast("FileOptions", options))
        files.read()
        return files

    def fuse_read(self, files: "Files", choices: FuseChoices) -> Picture:
        """The second half: fuse what was read, and write the picture."""
        from expofuse.front_door import fuse_kind

        content, report = fuse_kind(
            files,
            self._open_weights(choices),
            align=choices.align or "auto",
            ghosts=choices.ghosts or "auto",
            crop=choices.crop or "none",
            reference=choices.reference,
        )
        return Picture(
            cast("bytes", content),
            report.weights,
            report.describe_alignment(),
            order=_count_from_one(report.order),
            fused=_count_from_one(report.fused),
            reference=report.reference + 1,
            replaced_share=report.replaced_share,
        )

    def _open_weights(self, choices: FuseChoices) -> "OpenWeights":
        from expofuse.front_door import find_weights
        from expofuse.open_weights import open_weights

        directory = find_weights(choices.weights or DEFAULT_WEIGHTS)
        return open_weights(directory, device="auto", threads=self._threads)

    def identify_weights(self, choices: FuseChoices) -> str:
        """See `Engine.identify_weights`: the version and the hashes of its files.

        Raises:
            WeightsError: There is no such version.
        """
        from model.manifest import read_manifest

        manifest = read_manifest(locate_weights(choices.weights or DEFAULT_WEIGHTS))
        hashes = [entry.sha256 for _, entry in sorted(manifest.files.items())]
        return " ".join([manifest.label, *hashes])


class ServerEngine:
    """Fuses through a service.

    Args:
        client: Open as long as the engine is used.
    """

    def __init__(self, client: "Client") -> None:
        self._client = client

    def fuse(self, exposures: Sequence[Exposure], choices: FuseChoices) -> Picture:
        """See `Engine.fuse`.

        Raises:
            CommandError: The service refused, failed, or could not be reached.
            OSError: A file cannot be read.
        """
        with explaining_client():
            fused = self._client.fuse(exposures, **make_client_options(choices))
        return picture_of(fused)

    def identify_weights(self, choices: FuseChoices) -> str:
        """See `Engine.identify_weights`: the version alone, of which a service tells no hash.

        Raises:
            CommandError: The service has no such version, or cannot be asked.
        """
        with explaining_client():
            loaded = self._client.weights()
        asked = choices.weights or loaded.default
        if asked not in loaded.names:
            there = ", ".join(sorted(loaded.names))
            raise CommandError(
                f"expected weights that the service has loaded, got '{asked}'; there are: {there}",
                EXIT_MISUSED,
                code="bad-option",
            )
        return loaded.names[asked]


@contextmanager
def open_engine(server: str | None) -> Iterator[Engine]:
    """Open the engine of a service, or that of this process where no service is named.

    Args:
        server: Its URL.

    Raises:
        CommandError: The client's library is not installed, or the URL is none.
    """
    if server is None:
        yield LocalEngine()
        return
    with open_client(server) as client:
        yield ServerEngine(client)


def picture_of(fused: "Fused") -> Picture:
    """The picture that a service answered with."""
    return Picture(
        fused.content,
        fused.weights,
        fused.alignment.text,
        order=_count_from_one(fused.order),
        fused=_count_from_one(fused.fused),
        reference=fused.reference + 1,
        replaced_share=fused.ghosts.replaced_share,
    )


def tell_picture(picture: Picture, out: Path, more: Mapping[str, object], *, as_json: bool) -> None:
    """Say what was done, on standard error where the picture is on standard output.

    Args:
        picture: What was written.
        out: Where to.
        more: Further fields of the JSON.
        as_json: The command was called with `--json`.
    """
    if out == PIPE:
        sys.stderr.write(f"{picture.summarise()}\n")
    elif as_json:
        write_json({"out": out.as_posix(), **picture.describe(), **more})
    else:
        sys.stdout.write(f"{picture.summarise()}\n")


def _count_from_one(indices: Sequence[int]) -> tuple[int, ...]:
    return tuple(index + 1 for index in indices)
