"""The compiled libraries: which there are, and what a machine without them is told."""

import ctypes

import pytest

from model.kernels import library


def test_this_machine_has_a_library_for_every_machine_and_takes_the_fastest():
    assert [path.stem for path in library.list_libraries()][-1] == "library_any"
    assert library.LIBRARY._name == str(library.list_libraries()[0])


def test_a_machine_without_avx2_takes_the_other_one(monkeypatch):
    monkeypatch.setattr(library.cv2, "getCPUFeaturesLine", lambda: "SSE SSE2 *SSE4.1 *AVX *AVX2?")
    assert [path.stem for path in library.list_libraries()] == ["library_any"]


def test_an_installation_without_libraries_says_how_to_compile_them(monkeypatch):
    monkeypatch.setattr(library, "list_libraries", lambda: [])
    with pytest.raises(ImportError, match="pip install --editable"):
        library._open_fastest()


def test_every_function_is_declared_as_it_is_compiled():
    for path in library.list_libraries():
        opened = library.open_library(path)
        assert opened.add_band.argtypes[0] is ctypes.POINTER(library.Band)
        assert opened.count_scratch(2, 100) > 0
