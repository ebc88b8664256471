"""Gives schemathesis pictures where the description says that a file comes, and what is none.

It makes only files of its own kind up otherwise, and no request would get beyond their headers.
"""

import numpy as np
import schemathesis
from hypothesis import strategies

from tests import images

PICTURES = [
    images.encoded("png", pixels=images.scene(gain=0.3)),
    images.encoded("jpeg", pixels=images.scene(gain=1.0)),
    images.encoded("webp", pixels=images.scene(gain=0.6)),
    images.png16(images.scene(dtype=np.uint16, gain=0.5)),
]
ODD = [b"", b"\xff\xd8\xff", images.one_pixel(), images.truncated(images.encoded("png"))]

schemathesis.openapi.format(
    "binary", strategies.sampled_from(PICTURES * 4 + ODD) | strategies.binary(max_size=64)
)
