from pathlib import Path

import pytest

from model.kernels import native

LIBRARIES = sorted(Path(native.__file__).parent.glob("native_*.so"))
USERS = (
    "model.alignment.correlation",
    "model.alignment.phase",
    "model.blend.kernels",
    "model.blend.look",
    "model.ghosts.kernels",
    "model.warp",
)


@pytest.fixture(params=LIBRARIES, ids=lambda path: path.stem)
def each_library(request, monkeypatch):
    """Each compiled library in turn; one that this machine cannot run is left to others."""
    if request.param not in native.list_libraries():
        pytest.skip("this machine lacks its instructions")
    opened = native.open_library(request.param)
    for user in USERS:
        monkeypatch.setattr(f"{user}.LIBRARY", opened)
