"""Decodes and encodes JPEG pixels by NVIDIA's nvImageCodec, which an extra of the project installs.

Its nvJPEG says nothing of damage to the codes of a picture: it is given what libjpeg-turbo has gone
over and found sound, and nothing else (`expofuse.files.reading.jpeg.scan`). Pixels travel between
the memory of the host and that of the device within its calls.
"""

import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from types import ModuleType

import numpy as np
import simplejpeg
from numpy.typing import NDArray

from expofuse.files.device.layout import MIN_PIXELS, is_for_device
from expofuse.files.device.outcome import Outcome
from model.errors import DeviceError
from model.exposure import Pixels

EXTRA = "nvimagecodec"
CPU = "cpu"
"""nvImageCodec's own way without a device, libjpeg-turbo; by it tests run everywhere."""

TRIAL_SIZE_PX = (832, 1280)
"""Of the picture that is tried: the smallest multiple of 64 and 256 above `MIN_PIXELS`."""

TRIAL_QUALITY = 90
MAX_MEAN_DIFFERENCE = 1.0
"""Levels, on average over the trial, from libjpeg-turbo. Rounding makes half a level; chroma that
is repeated and not interpolated makes several."""

MAX_MEAN_LOSS = 4.0
"""Levels that the trial may lose by being encoded, on average; other pixels would make 60."""

OPTIONS = ":fancy_upsampling=1"
"""Of the decoder: chroma is interpolated, as libjpeg-turbo does."""

logger = logging.getLogger(__name__)


class DeviceJpeg:
    """A device that decodes and encodes; for one thread.

    Args:
        device: `cuda:N`, or `CPU`.
        min_pixels: Pixels of a file below which it is not decoded here.
        options: Of nvImageCodec's decoder.
        uses_engine: Have files decoded by the device's engine for JPEG, where it has one.

    Raises:
        DeviceError: nvImageCodec is not installed, or finds no such device.
    """

    def __init__(
        self,
        device: str,
        *,
        min_pixels: int = MIN_PIXELS,
        options: str = OPTIONS,
        uses_engine: bool = False,
    ) -> None:
        self._library = _load()
        self._min_pixels = min_pixels
        self._outcome: Outcome | None = None
        library = self._library
        kind, _, index = device.partition(":")
        if kind == CPU:
            number, backend = library.NVIMGCODEC_DEVICE_CPU_ONLY, library.BackendKind.CPU_ONLY
        else:
            number, backend = int(index or 0), library.BackendKind.HYBRID_CPU_GPU
        backends = [library.Backend(backend)]
        engines = [library.Backend(library.BackendKind.HW_GPU_ONLY)] if uses_engine else []
        try:
            self._decoder = library.Decoder(
                device_id=number,
                max_num_cpu_threads=1,
                backends=[*engines, *backends],
                options=options,
            )
            self._encoder = library.Encoder(
                device_id=number, max_num_cpu_threads=1, backends=backends
            )
        except (RuntimeError, ValueError) as error:
            raise DeviceError(
                f"expected nvImageCodec to use the device '{device}', it cannot: {_tell(error)}"
            ) from error
        self._decoding = library.DecodeParams(
            apply_exif_orientation=False, color_spec=library.ColorSpec.SRGB
        )

    def takes(self, file: bytes | bytearray) -> bool:
        """Whether a file is decoded here; see `is_for_device`. One that is not counts as left."""
        is_taken = is_for_device(file, min_pixels=self._min_pixels)
        if not is_taken:
            self.leave()
        return is_taken

    def leave(self) -> None:
        """Note that a JPEG file is not given to the device."""
        self._outcome = "left"

    def take_outcome(self) -> Outcome | None:
        """What became of the last JPEG file; None where there was none since this was asked."""
        outcome, self._outcome = self._outcome, None
        return outcome

    def decode(self, file: bytes | bytearray, out: NDArray[np.uint8]) -> bool:
        """Decode a sound file that `takes` accepts.

        Args:
            file: As `tidy` returns it.
            out: Where the pixels go. Shape (H, W, 3), C-contiguous.

        Returns:
            Whether they are there; False where the device failed, which is logged.
        """
        library = self._library
        try:
            room = library.as_image(out)
            stream = library.CodeStream(bytes(file))
            image = self._decoder.decode(stream, image=room, params=self._decoding)
            is_done = image is not None and tuple(image.shape) == out.shape
        except (RuntimeError, ValueError, MemoryError) as error:
            return self._note(False, "decode", error)
        return self._note(is_done, "decode")

    def encode(self, pixels: Pixels, *, quality: int, is_halved: bool) -> bytes | None:
        """Encode pixels to a baseline JPEG stream without metadata.

        Args:
            pixels: Shape (H, W, 3), uint8, C-contiguous.
            quality: 1..100, as libjpeg counts.
            is_halved: The chroma is halved both ways (4:2:0), and else whole (4:4:4).

        Returns:
            The stream; None where the device failed, which is logged.
        """
        library = self._library
        sampling = library.ChromaSubsampling
        try:
            encoded = self._encoder.encode(
                library.as_image(pixels),
                "jpeg",
                params=library.EncodeParams(
                    quality_type=library.QualityType.QUALITY,
                    quality_value=quality,
                    chroma_subsampling=sampling.CSS_420 if is_halved else sampling.CSS_444,
                ),
            )
        except (RuntimeError, ValueError, MemoryError) as error:
            self._note(False, "encode", error)
            return None
        return bytes(encoded) if self._note(encoded is not None, "encode") else None

    def try_out(self) -> None:
        """Encode and decode a picture, and compare it with what libjpeg-turbo makes of it.

        Raises:
            DeviceError: The device fails, or makes another picture.
        """
        picture = _draw_trial()
        file = self.encode(picture, quality=TRIAL_QUALITY, is_halved=True)
        pixels = np.zeros_like(picture)
        if file is None or not self.decode(file, pixels):
            raise DeviceError("expected nvImageCodec to encode and decode a picture, it failed")
        self._outcome = None
        try:
            expected = simplejpeg.decode_jpeg(file, "RGB")
        except ValueError as error:
            raise DeviceError("expected a JPEG of nvImageCodec, got another file") from error
        for one, other, most in (
            (pixels, expected, MAX_MEAN_DIFFERENCE),
            (expected, picture, MAX_MEAN_LOSS),
        ):
            difference = float(np.abs(one.astype(np.int16) - other).mean())
            if difference > most:
                raise DeviceError(
                    f"expected nvImageCodec to make the picture of libjpeg-turbo within {most:g} "
                    f"levels on average, got {difference:.2f}"
                )

    def _note(self, is_done: bool, work: str, error: Exception | None = None) -> bool:
        self._outcome = "done" if is_done else "failed"
        if not is_done:
            reason = "no picture" if error is None else _tell(error)
            logger.warning("device fails at a JPEG", extra={"work": work, "reason": reason})
        return is_done


def _draw_trial() -> NDArray[np.uint8]:
    """Waves of other lengths in each channel, whose chroma changes within a few pixels."""
    height_px, width_px = TRIAL_SIZE_PX
    y, x = np.mgrid[:height_px, :width_px].astype(np.float32)
    waves = (np.sin(x / 9), np.sin(y / 7 + x / 31), np.sin((x + y) / 11))
    return np.ascontiguousarray((127.5 + 127 * np.stack(waves, -1)).astype(np.uint8))


def _load() -> ModuleType:
    try:
        with _silence():
            from nvidia import nvimgcodec
    except ImportError as error:
        raise DeviceError(
            "expected nvImageCodec, it is not installed: "
            f"pip install 'expofuse[{EXTRA}]' does it, beside expofuse[cuda]"
        ) from error
    library: ModuleType = nvimgcodec
    return library


@contextmanager
def _silence() -> Iterator[None]:
    """Drop what is written to file 2: it says there which of its other codecs are not installed.

    Confined processes may open no file for writing alone, and nothing need be written to it.
    """
    kept, null = os.dup(2), os.open(os.devnull, os.O_RDONLY)
    os.dup2(null, 2)
    os.close(null)
    try:
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)


def _tell(error: Exception) -> str:
    """Its words up to where they name a place in the library's source."""
    return str(error).partition(" at /")[0].strip() or type(error).__name__
