"""Multi-exposure image fusion: two to nine exposures of one scene in, one well-exposed picture out.

Names are imported on first use, so that `import expofuse` takes no time.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from expofuse.front_door import FuseReport, fuse
    from model.errors import AlignmentError, ExposureError, FusionError

_HOME = {
    "AlignmentError": "model.errors",
    "ExposureError": "model.errors",
    "FuseReport": "expofuse.front_door",
    "FusionError": "model.errors",
    "fuse": "expofuse.front_door",
}

__all__ = ["AlignmentError", "ExposureError", "FuseReport", "FusionError", "fuse"]


def __getattr__(name: str) -> object:
    """Import a public name from its module on first use (PEP 562)."""
    if name not in _HOME:
        raise AttributeError(f"module 'expofuse' has no attribute {name!r}")
    return getattr(import_module(_HOME[name]), name)
