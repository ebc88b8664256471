"""Examines what computes: Python, the compiled kernels, the libraries, the device."""

import os
import platform
import shutil
import subprocess
import sys
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec

from expofuse.package_version import package_version
from model.device import has_torch, resolve_device
from model.errors import DeviceError
from service.console.doctor.finding import Finding

LEAST_PYTHON = (3, 11)
EXTRAS = {
    "service": ("fastapi", "to serve"),
    "client": ("httpx", "for --server"),
    "heic": ("pi_heif", "to read HEIC"),
    "raw": ("rawpy", "to read raw files"),
}
"""The module that tells whether an extra is installed, and what it is for."""

LIBRARIES = ("numpy", "opencv-python-headless", "pyvips", "pillow", "simplejpeg", "onnxruntime")
DRIVER_TIMEOUT_S = 10.0


def examine_computing() -> Iterator[Finding]:
    """Python and what it runs."""
    yield _examine_python()
    yield Finding("expofuse", "well", f"{package_version()}, {_list_versions()}")
    yield _examine_kernels()
    yield _examine_runtime()
    for extra, (module, purpose) in EXTRAS.items():
        yield _examine_extra(extra, module, purpose)


def _examine_python() -> Finding:
    found = f"{platform.python_version()} on {platform.system()} {platform.machine()}"
    if sys.version_info < LEAST_PYTHON:
        least = ".".join(map(str, LEAST_PYTHON))
        return Finding("Python", "wrong", found, f"install Python {least} or newer")
    return Finding("Python", "well", f"{found}, {count_cores()} cores for this process")


def count_cores() -> int:
    """Cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _list_versions() -> str:
    return ", ".join(f"{name} {_find_version(name)}" for name in LIBRARIES)


def _find_version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "(missing)"


def _examine_kernels() -> Finding:
    try:
        from model.kernels.native import list_libraries

        libraries = list_libraries()
    except (ImportError, OSError) as error:
        return Finding("compiled kernels", "wrong", str(error), _REINSTALL)
    if not libraries:
        return Finding("compiled kernels", "wrong", "none", _REINSTALL)
    return Finding("compiled kernels", "well", f"{libraries[0].name} fits this processor")


_REINSTALL = "install expofuse again: pip install --force-reinstall --no-deps expofuse"


def _examine_runtime() -> Finding:
    try:
        import onnxruntime
    except (ImportError, OSError) as error:
        return Finding("ONNX Runtime", "wrong", str(error), "pip install onnxruntime")
    providers = ", ".join(onnxruntime.get_available_providers())
    return Finding("ONNX Runtime", "well", f"{onnxruntime.__version__}: {providers}")


def _examine_extra(extra: str, module: str, purpose: str) -> Finding:
    if find_spec(module) is not None:
        return Finding(f"extra '{extra}'", "well", f"installed, {purpose}")
    return Finding(
        f"extra '{extra}'",
        "note",
        f"not installed; it is needed {purpose}",
        f"pip install 'expofuse[{extra}]', if you want that",
    )


def examine_device(device: str) -> Finding:
    """The device that a setting names, and a GPU that lies idle.

    Args:
        device: `auto`, `cpu`, `cuda` or `cuda:N`.
    """
    gpu = _find_gpu()
    try:
        resolved = resolve_device(device)
    except DeviceError as error:
        return Finding(
            "device", "wrong", error.message, "set EXPOFUSE_DEVICE=auto, or to one that is there"
        )
    if resolved == "cpu" and gpu and device != "cpu":
        why = "torch is not installed" if not has_torch() else "torch does not see it"
        return Finding(
            "device",
            "note",
            f"cpu, though the driver shows {gpu}: {why}",
            "pip install 'expofuse[cuda]', and a driver that is new enough for it",
        )
    return Finding("device", "well", f"{resolved} (EXPOFUSE_DEVICE={device}), {gpu or 'no GPU'}")


def _find_gpu() -> str:
    """What NVIDIA's driver says is there; empty where there is none."""
    programme = shutil.which("nvidia-smi")
    if programme is None:
        return ""
    try:
        said = subprocess.run(
            [programme, "--list-gpus"],
            capture_output=True,
            text=True,
            timeout=DRIVER_TIMEOUT_S,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return "; ".join(line.partition(" (UUID")[0] for line in said.stdout.splitlines() if line)
