"""Lists what Pillow raises on a broken file, which is more than it documents."""

import struct

from PIL import Image

ERRORS_OF_PILLOW = (
    ArithmeticError,
    AttributeError,
    EOFError,
    LookupError,
    MemoryError,
    OSError,
    RuntimeError,
    SyntaxError,
    TypeError,
    ValueError,
    struct.error,
    Image.DecompressionBombError,
)
"""What Pillow raises on a file that is broken somewhere."""
