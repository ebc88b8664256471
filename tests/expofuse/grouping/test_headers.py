"""What is read of the headers of files, of every format and of every maker."""

import io
import random
import struct

import numpy as np
import pillow_heif
import pytest
from PIL import ExifTags, Image, TiffImagePlugin

from bench.shoots.cameras import CAMERAS
from bench.shoots.header_writer import (
    longs,
    ratio,
    shorts,
    text,
    write_directory,
    write_exif,
    write_jpeg,
    write_raw,
)
from bench.shoots.taken import Taken
from expofuse.grouping import BracketMark, read_frames

TAKEN = Taken(
    0.0,
    0.25,
    f_number=5.6,
    iso=400,
    step_ev=-2.0,
    drive="bracket",
    shot=2,
    shots=3,
    clock_s=1_700_000_000.25,
    orientation=6,
)


def read(path, content):
    path.write_bytes(content)
    (frame,) = read_frames([path], path.parent)
    return frame


@pytest.mark.parametrize("camera", CAMERAS, ids=lambda one: one.model)
def test_every_maker_s_header_is_read(tmp_path, camera):
    frame = read(tmp_path / "a.jpg", write_jpeg(write_exif(camera, TAKEN, "123456")))
    assert (frame.make, frame.model, frame.orientation) == (camera.make, camera.model, 6)
    assert frame.exposure_s == pytest.approx(0.25)
    assert (frame.f_number, frame.iso, frame.focal_length_mm) == (5.6, 400, 24)
    assert frame.taken_s == 1_700_000_000 + (0.25 if camera.has_fraction else 0.0)
    assert frame.has_fraction == camera.has_fraction
    assert frame.bias_ev == pytest.approx(-2.0 if camera.writes_bias else 0.0)
    assert (frame.width_px, frame.height_px, frame.fault) == (24, 16, "")
    expects_serial = camera.has_serial or camera.note == "nikon"
    assert bool(frame.serial) == expects_serial
    if camera.note == "none" and not camera.says_bracket:
        assert frame.mark is None
        return
    assert frame.mark is not None
    assert frame.mark.is_bracketing
    assert frame.mark.shot == (2 if camera.tells_shot else None)
    if camera.note in ("canon", "nikon"):
        assert frame.mark.step_ev == -2.0
    if camera.note == "panasonic":
        assert frame.mark.shots == 3


@pytest.mark.parametrize("camera", CAMERAS, ids=lambda one: one.model)
def test_a_single_frame_is_not_marked(tmp_path, camera):
    single = Taken(0.0, 0.25, clock_s=1e9)
    frame = read(tmp_path / "a.jpg", write_jpeg(write_exif(camera, single, "123456")))
    assert frame.mark == (None if camera.note == "none" else BracketMark(False))


@pytest.mark.parametrize(("step_ev", "coded"), [(1 / 3, 12), (2 / 3, 20), (-4 / 3, -44), (1.5, 48)])
def test_canon_s_thirds_are_read(tmp_path, step_ev, coded):
    taken = Taken(0.0, 0.25, step_ev=step_ev, drive="bracket", clock_s=1e9)
    content = write_jpeg(write_exif(CAMERAS[0], taken, "123456"))
    if step_ev != 1.5:  # The writer knows thirds alone.
        assert read(tmp_path / "a.jpg", content).mark.step_ev == pytest.approx(step_ev)
        assert struct.pack("<h", coded) in content


@pytest.mark.parametrize("form", ["png", "webp", "tiff", "avif", "heic", "jpeg"])
def test_every_format_is_read(tmp_path, form):
    image = Image.fromarray(np.full((64, 96, 3), 90, np.uint8))
    exif = Image.Exif()
    exif[ExifTags.Base.Make], exif[ExifTags.Base.Model] = "Maker", "Model"
    exif.get_ifd(ExifTags.IFD.Exif).update(
        {
            ExifTags.Base.ExposureTime: TiffImagePlugin.IFDRational(1, 50),
            ExifTags.Base.DateTimeOriginal: "2024:05:01 10:00:00",
            ExifTags.Base.OffsetTimeOriginal: "+02:00",
        }
    )
    stream = io.BytesIO()
    if form == "heic":
        pillow_heif.from_pillow(image).save(stream, exif=exif.tobytes())
    else:
        image.save(stream, form, exif=exif.tobytes())
    frame = read(tmp_path / f"a.{form}", stream.getvalue())
    assert (frame.make, frame.model) == ("Maker", "Model")
    assert frame.exposure_s == pytest.approx(0.02)
    assert frame.taken_s == 1_714_550_400.0  # 08:00 UTC
    assert (frame.width_px, frame.height_px) == (96, 64)


def test_a_raw_file_is_read_as_the_picture_beside_it(tmp_path):
    camera = CAMERAS[2]
    raw = read(tmp_path / "a.dng", write_raw(camera, TAKEN, "123456"))
    picture = read(tmp_path / "a.jpg", write_jpeg(write_exif(camera, TAKEN, "123456")))
    assert (raw.kind, picture.kind) == ("raw", "picture")
    for name in ("taken_s", "exposure_s", "mark", "serial", "orientation"):
        assert getattr(raw, name) == getattr(picture, name)


def test_a_raf_file_is_read_by_its_preview(tmp_path):
    preview = write_jpeg(write_exif(CAMERAS[6], TAKEN, "123456"))
    sizes = struct.pack(">IHHHH", 1, 0x100, 4, 4000, 6000)
    head = b"FUJIFILMCCD-RAW ".ljust(84, b"\0")
    head += struct.pack(">IIII", 128, len(preview), 128 + len(preview), len(sizes))
    frame = read(tmp_path / "a.raf", head.ljust(128, b"\0") + preview + sizes)
    assert (frame.kind, frame.model, frame.mark.shot) == ("raw", "X-T4", 2)


def test_a_cr3_file_is_read_by_its_boxes(tmp_path):
    def block(entries):
        return b"II*\0" + struct.pack("<I", 8) + write_directory(entries, 8)

    boxes = {
        b"CMT1": block({0x010F: text("Canon"), 0x0110: text("Canon EOS R6")}),
        b"CMT2": block({0x829A: ratio(0.5), 0x9003: text("2024:05:01 10:00:00")}),
        b"CMT3": block({0x0C: longs(4711), 4: shorts(*[0] * 16, 0xFFFF, 64, 0, 0)}),
    }
    inner = b"".join(struct.pack(">I", len(body) + 8) + name + body for name, body in boxes.items())
    size = struct.pack(">I4s24xHH", 100, b"CRAW", 6000, 4000)
    head = struct.pack(">I", 24) + b"ftypcrx " + bytes(12)
    frame = read(tmp_path / "a.cr3", head + inner + size.ljust(100, b"\0"))
    assert (frame.model, frame.exposure_s, frame.serial) == ("Canon EOS R6", 0.5, "4711")
    assert frame.mark == BracketMark(True, 2.0)


@pytest.mark.parametrize(
    ("content", "fault"),
    [(b"", "empty file"), (b"%PDF-1.7", "a PDF"), (b"\xff\xd8\xff", "truncated")],
)
def test_what_is_no_picture_has_a_fault(tmp_path, content, fault):
    assert fault in read(tmp_path / "a.jpg", content).fault


def test_a_file_that_is_not_there_has_a_fault(tmp_path):
    (frame,) = read_frames([tmp_path / "a.jpg"])
    assert "cannot be read" in frame.fault


@pytest.mark.parametrize("camera", CAMERAS, ids=lambda one: one.model)
def test_damaged_headers_are_no_error(tmp_path, camera):
    dice = random.Random(5)
    whole = bytearray(write_jpeg(write_exif(camera, TAKEN, "123456")))
    paths = []
    for index in range(150):
        damaged = whole.copy()
        for _ in range(dice.randint(1, 6)):
            damaged[dice.randrange(12, 600)] = dice.choice((0, 1, 0x7F, 0xFF, dice.randrange(256)))
        path = tmp_path / f"{index}.jpg"
        path.write_bytes(damaged[: dice.choice((len(damaged), dice.randrange(20, len(damaged))))])
        paths.append(path)
    assert len(read_frames(paths)) == 150
