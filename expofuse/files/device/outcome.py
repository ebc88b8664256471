"""Says what became of a JPEG file where there is a device for them."""

from typing import Literal

Outcome = Literal["done", "left", "failed"]
"""The device did it; it was not given to it; it failed, and the CPU did it."""
