"""The compiled libraries: which there are, and what a machine without them is told."""

import ctypes
from pathlib import Path

import pytest

from model.kernels import native


def test_this_machine_has_a_native_for_every_machine_and_takes_the_fastest():
    assert [path.stem for path in native.list_libraries()][-1] == "native_any"
    assert native.LIBRARY._name == str(native.list_libraries()[0])


@pytest.mark.parametrize(
    ("features", "expected"),
    [
        ("SSE SSE2 *SSE4.1 *AVX *AVX2?", ["native_any"]),
        ("SSE SSE2 *SSE4.1 *AVX *AVX2 *AVX512-SKX?", ["native_avx2", "native_any"]),
        ("SSE SSE2 *AVX *AVX2 *AVX512-SKX", ["native_avx512", "native_avx2", "native_any"]),
    ],
)
def test_a_machine_takes_what_it_can_run(monkeypatch, features, expected):
    monkeypatch.setattr(native.cv2, "getCPUFeaturesLine", lambda: features)
    compiled = {path.stem for path in Path(native.__file__).parent.glob("native_*.so")}
    found = [path.stem for path in native.list_libraries()]
    assert found == [name for name in expected if name in compiled]


def test_an_installation_without_libraries_says_how_to_compile_them(monkeypatch):
    monkeypatch.setattr(native, "list_libraries", lambda: [])
    with pytest.raises(ImportError, match="pip install --editable"):
        native._open_fastest()


def test_every_function_is_declared_as_it_is_compiled():
    for path in native.list_libraries():
        opened = native.open_library(path)
        assert opened.add_band.argtypes[0] is ctypes.POINTER(native.Band)
        assert opened.blend_uint8.argtypes[1] is ctypes.POINTER(native.Colour)
