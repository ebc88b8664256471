from pathlib import Path

import pytest

from model.kernels import library

LIBRARIES = sorted(Path(library.__file__).parent.glob("library_*.so"))
USERS = ("model.blend.kernels", "model.warp")


@pytest.fixture(params=LIBRARIES, ids=lambda path: path.stem)
def each_library(request, monkeypatch):
    """Each compiled library in turn; one that this machine cannot run is left to others."""
    if request.param not in library.list_libraries():
        pytest.skip("this machine lacks its instructions")
    opened = library.open_library(request.param)
    for user in USERS:
        monkeypatch.setattr(f"{user}.LIBRARY", opened)
