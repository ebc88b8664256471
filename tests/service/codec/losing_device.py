"""A codec process whose device is lost once it is warm: its real codecs refuse every picture."""

from expofuse.files.device.jpeg import CPU, DeviceJpeg
from service.codec import child


def lose(name: str | None) -> DeviceJpeg:
    assert name == CPU
    device = DeviceJpeg(CPU)
    device.try_out()
    library = device._library
    options = {
        "device_id": library.NVIMGCODEC_DEVICE_CPU_ONLY,
        "backends": [library.Backend(library.BackendKind.HYBRID_CPU_GPU)],
    }
    device._decoder = library.Decoder(**options)
    device._encoder = library.Encoder(**options)
    return device


if __name__ == "__main__":
    child._open_device = lose
    child.main()
