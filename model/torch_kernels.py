"""Compiles the GPU's kernels on the machine that runs them, and launches them on torch's stream.

The compiler and the driver's calls are NVIDIA's `cuda-bindings`, which torch for CUDA comes with.
Compiling takes a second or two at the start of a process, fits the GPU that is there, and asks no
compiler of the machine.
"""

import ctypes
import logging
import re
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from time import perf_counter
from typing import Any

import torch

from model.errors import DeviceError
from model.kernels.grids import FOLDER, HEADERS, KERNELS, SOURCE, THREADS, Grid

try:
    from cuda.bindings import driver, nvrtc
except ImportError:  # a build of torch for the CPU comes without
    driver = nvrtc = None

logger = logging.getLogger(__name__)

OPTIONS = (b"--std=c++17",)
KERNEL_NAME = re.compile(r"^KERNEL\((\w+), \w+\)", re.MULTILINE)


class DeviceKernels:
    """The kernels of `fusion.cu` on one device, see `model.kernels.grids.Launcher`.

    Args:
        device: One of CUDA.

    Raises:
        DeviceError: They cannot be compiled or loaded here.
    """

    def __init__(self, device: torch.device) -> None:
        self._device = device
        major, minor = torch.cuda.get_device_capability(device)
        begin = perf_counter()
        image = compile_source(10 * major + minor)
        logger.info("compiled the kernels in %.1f s", perf_counter() - begin)
        try:
            _check(driver.cuInit(0))
            number = torch.cuda.current_device() if device.index is None else device.index
            # torch computes in the primary context, as the runtime does.
            self._context = _check(
                driver.cuDevicePrimaryCtxRetain(_check(driver.cuDeviceGet(number)))
            )
            with self._current():
                module = _check(driver.cuModuleLoadData(image))
                self._functions = {
                    name: _check(driver.cuModuleGetFunction(module, name.encode()))
                    for name in list_kernels()
                }
                # One that is loaded as it is first launched could not be captured in a graph.
                for function in self._functions.values():
                    _check(driver.cuFuncLoad(function))
        except RuntimeError as error:
            raise DeviceError(f"expected a driver that loads the kernels, {error}") from error

    def launch(self, name: str, given: ctypes.Structure, grid: Grid) -> None:
        """See `Launcher.launch`; the structure is copied, the stream is torch's current one.

        Raises:
            torch.OutOfMemoryError: The device's memory does not suffice.
            torch.AcceleratorError: The driver refused, or an earlier computation failed.
        """
        parameters = (ctypes.c_void_p * 1)(ctypes.addressof(given))
        stream = torch.cuda.current_stream(self._device).cuda_stream
        across, down, deep, room_bytes = grid
        with self._current():
            answer = driver.cuLaunchKernel(
                self._functions[name], across, down, deep, THREADS, 1, 1, room_bytes, stream,
                ctypes.addressof(parameters), 0,
            )  # fmt: skip
        _check(answer)

    @contextmanager
    def _current(self) -> Iterator[None]:
        """A thread that has not used this device yet has no context, or another device's."""
        _check(driver.cuCtxPushCurrent(self._context))
        try:
            yield
        finally:
            driver.cuCtxPopCurrent()


@lru_cache(maxsize=8)
def open_kernels(device: torch.device) -> DeviceKernels:
    """The kernels on a device, compiled once in a process."""
    return DeviceKernels(device)


def list_kernels() -> list[str]:
    """Names of the kernels that the source defines."""
    return KERNEL_NAME.findall("".join((FOLDER / name).read_text() for name in KERNELS))


def compile_source(capability: int) -> bytes:
    """Compile the kernels for a GPU.

    Args:
        capability: Its compute capability, ten times the major number and the minor one.

    Returns:
        A binary for that GPU, or, for one that is newer than the compiler, for the newest that it
        knows, which the driver translates.

    Raises:
        DeviceError: The compiler is not installed, or refuses.
    """
    if nvrtc is None:
        raise DeviceError(
            "expected NVIDIA's compiler for the device, cuda-bindings is not installed: "
            "pip install 'expofuse[cuda]' on Linux does it"
        )
    try:
        return _compile(capability)
    except RuntimeError as error:
        # Where the library itself is missing, the bindings say so by this error too.
        raise DeviceError(f"expected NVIDIA's compiler to take the kernels, {error}") from error


def _compile(capability: int) -> bytes:
    known = _check(nvrtc.nvrtcGetSupportedArchs())
    is_known = capability in known
    newest = max((one for one in known if one <= capability), default=None)
    if newest is None:
        raise DeviceError(f"expected a GPU of capability {min(known)} or more, got {capability}")
    architecture = f"sm_{newest}" if is_known else f"compute_{newest}"
    program = _check(
        nvrtc.nvrtcCreateProgram(
            (FOLDER / SOURCE).read_bytes(),
            SOURCE.encode(),
            len(HEADERS),
            [(FOLDER / name).read_bytes() for name in HEADERS],
            [name.encode() for name in HEADERS],
        )
    )
    try:
        options = [*OPTIONS, f"--gpu-architecture={architecture}".encode()]
        (result,) = nvrtc.nvrtcCompileProgram(program, len(options), options)
        if result != nvrtc.nvrtcResult.NVRTC_SUCCESS:
            raise RuntimeError(f"it said {result.name}: {_read_log(program)}")
        if is_known:
            image = bytearray(_check(nvrtc.nvrtcGetCUBINSize(program)))
            _check(nvrtc.nvrtcGetCUBIN(program, image))
        else:
            image = bytearray(_check(nvrtc.nvrtcGetPTXSize(program)))
            _check(nvrtc.nvrtcGetPTX(program, image))
    finally:
        nvrtc.nvrtcDestroyProgram(program)
    return bytes(image)


def _read_log(program: object) -> str:
    log = bytearray(_check(nvrtc.nvrtcGetProgramLogSize(program)))
    _check(nvrtc.nvrtcGetProgramLog(program, log))
    return log.rstrip(b"\0").decode(errors="replace").strip()


def _check(answer: tuple[Any, ...]) -> Any:  # noqa: ANN401 - the bindings have no types
    """What a call found, or its failure by the errors that torch has for them."""
    result, *found = answer
    if result.value == 0:
        return found[0] if found else None
    message = f"CUDA error: {result.name}"
    if result.name == "CUDA_ERROR_OUT_OF_MEMORY":
        raise torch.OutOfMemoryError(message)
    raise torch.AcceleratorError(message)
