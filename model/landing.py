"""Says how a computed window comes to the host: it may still be on its way from a device."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from model.exposure import Pixels


class Landing(Protocol):
    """Pixels that were computed, or soon are."""

    def wait(self) -> None:
        """Return once the pixels are on the host.

        Raises:
            RuntimeError: What computed them, or their copy, failed.
        """
        ...

    def write(self, into: Pixels) -> None:
        """Write them; only after `wait`."""
        ...


@dataclass(frozen=True, slots=True, eq=False)
class Landed:
    """Pixels that are on the host.

    Attributes:
        pixels: Shape (H, W, 3).
    """

    pixels: Pixels

    def wait(self) -> None:
        """See `Landing.wait`."""

    def write(self, into: Pixels) -> None:
        """See `Landing.write`."""
        into[...] = self.pixels


def land(landings: Sequence[tuple[Landing, Pixels]]) -> None:
    """Write pixels where they belong, and none before all of them are there.

    Args:
        landings: Each with the place that it goes to.

    Raises:
        RuntimeError: See `Landing.wait`.
    """
    for landing, _ in landings:
        landing.wait()
    for landing, into in landings:
        landing.write(into)
