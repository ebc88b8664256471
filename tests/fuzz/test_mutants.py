"""A short run: every damaged file gets a picture or a typed error."""

from collections import Counter

import pytest

from expofuse.errors import FileError
from expofuse.files.headers import PixelLimits
from expofuse.files.reading.decode import decode
from expofuse.files.reading.vips import configure_libvips
from tests.fuzz.mutants import SOUND, make_mutants

LIMITS = PixelLimits(max_pixels=1_000_000, max_side_px=20_000)


@pytest.mark.parametrize("seed", [2, 3])
def test_every_damaged_file_is_answered(seed):
    configure_libvips()
    answers = Counter()
    for _, data in make_mutants(seed=seed, count=25 * len(SOUND)):
        try:
            decode(data, limits=LIMITS)
            answers["picture"] += 1
        except FileError as error:
            answers[error.code] += 1
        except MemoryError:
            answers["memory"] += 1
    assert answers["image-damaged"] > 50
    assert answers["picture"] > 20
    assert answers["memory"] < 5


@pytest.mark.parametrize("name", SOUND)
def test_what_is_damaged_was_sound(name):
    configure_libvips()
    assert decode(SOUND[name](), limits=LIMITS).pixels.size
