"""A codec process whose device is lost once it is warm: its real codecs refuse every picture."""

from expofuse.files.device.jpeg import CPU, DeviceJpeg
from service.codec import child
from tests.devices import lose_device


def lose(name: str | None) -> DeviceJpeg:
    assert name == CPU
    device = DeviceJpeg(CPU)
    device.try_out()
    lose_device(device)
    return device


if __name__ == "__main__":
    child._open_device = lose
    child.main()
