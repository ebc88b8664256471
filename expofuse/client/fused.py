"""A picture that the service answered with: its file, its pixels, and how it came about."""

import base64
import html
import os
from collections.abc import Iterator
from dataclasses import dataclass, field, fields
from typing import Self

import numpy as np

from expofuse.client.report import Report
from expofuse.files.headers import PixelLimits, sniff
from expofuse.files.writing.destination import open_destination
from model.exposure import Pixels

PREVIEW_SIDE_PX = 640
"""Longer side of the picture that a notebook shows."""


@dataclass(frozen=True, slots=True)
class Fused(Report):
    """A picture and how it came about; a notebook shows both.

    Attributes:
        content: The file.
        width: Width in pixels.
        height: Height in pixels.
    """

    content: bytes = field(repr=False)
    width: int
    height: int

    @classmethod
    def of(cls, report: Report, content: bytes) -> Self:
        """A picture with its report.

        Args:
            report: How it came about.
            content: Its file.

        Raises:
            FileError: The file is not that of a picture.
        """
        header = sniff(content)
        told = {one.name: getattr(report, one.name) for one in fields(report)}
        return cls(**told, content=content, width=header.width_px, height=header.height_px)

    def array(self) -> Pixels:
        """The pixels as RGB in sRGB. Shape (H, W, 3), uint8 or, of more than 8 bits, uint16."""
        # The decoders take a second to load, and not every caller wants pixels.
        from expofuse.files.reading.decode import decode

        size = PixelLimits(self.width * self.height, max(self.width, self.height))
        return decode(self.content, limits=size).pixels

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the file, whole or not at all.

        Raises:
            OSError: It cannot be written; what was there before is then still there.
        """
        with open_destination(path) as file:
            file.write(self.content)

    def _repr_html_(self) -> str:
        """The picture, reduced, above a table of what happened."""
        rows = "".join(
            f"<tr><th style='text-align:left'>{html.escape(name)}</th>"
            f"<td style='text-align:left'>{html.escape(value)}</td></tr>"
            for name, value in self._tell()
        )
        picture = base64.b64encode(self._preview()).decode("ascii")
        size = f"{self.width} x {self.height}"
        return (
            f'<img src="data:image/jpeg;base64,{picture}" alt="fused picture, {size} pixels" '
            f'style="max-width:100%"><table>{rows}</table>'
        )

    def _tell(self) -> Iterator[tuple[str, str]]:
        """What happened, in words; exposures are counted from 1 as people do."""
        yield "picture", f"{self.format}, {self.width} x {self.height}, {len(self.content):,} bytes"
        yield "weights", self.weights
        yield "dark to bright", ", ".join(str(index + 1) for index in self.order)
        yield "reference", f"exposure {self.reference + 1}"
        yield "alignment", self.alignment.text
        yield "ghosts", f"{self.ghosts.mode}; {self.ghosts.replaced_share:.1%} replaced"
        if self.unused:
            told = [f"exposure {index + 1}: {why}" for index, why in self.unused.items()]
            yield "left out", "; ".join(told)
        if self.dropped:
            told = [f"exposure {at + 1}: {', '.join(what)}" for at, what in self.dropped.items()]
            yield "not carried over", "; ".join(told)
        yield "milliseconds", ", ".join(f"{name} {ms:.0f}" for name, ms in self.timings_ms.items())
        yield "request", self.request_id

    def _preview(self) -> bytes:
        import cv2

        from expofuse.files.formats import EncodeOptions, ImageMetadata
        from expofuse.files.pixels import to_8_bit
        from expofuse.files.writing.encode import encode

        pixels = to_8_bit(self.array())
        scale = PREVIEW_SIDE_PX / max(self.width, self.height)
        if scale < 1:
            size = (max(1, round(self.width * scale)), max(1, round(self.height * scale)))
            pixels = np.asarray(cv2.resize(pixels, size, interpolation=cv2.INTER_AREA), np.uint8)
        return encode(pixels, options=EncodeOptions("jpeg"), metadata=ImageMetadata())
