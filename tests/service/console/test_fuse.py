"""`expofuse fuse`, here and through a server that answers what a test wants."""

import json

import numpy as np
import pytest

from expofuse.files.headers import PixelLimits
from expofuse.files.reading.decode import decode
from service.console.cli import main
from tests import images
from tests.service.console.conftest import HEADERS, PNG


@pytest.fixture
def files(tmp_path):
    (tmp_path / "under").write_bytes(b"dark")
    (tmp_path / "over").write_bytes(b"bright")
    return tmp_path / "under", tmp_path / "over"


@pytest.fixture
def pair(tmp_path):
    paths = tmp_path / "a.png", tmp_path / "b.png"
    for path, gain in zip(paths, (0.3, 1.0), strict=True):
        path.write_bytes(images.encoded(pixels=images.scene(gain=gain)))
    return paths


@pytest.mark.parametrize("option", ["--server", "--url"])
def test_a_service_fuses_and_its_picture_is_written(server, files, tmp_path, expofuse, option):
    out = tmp_path / "fused.png"
    said = expofuse("fuse", *files, "-o", out, option, f"{server.url}/", "--quality", "3")
    assert (said.code, said.out) == (0, b"w-1.0.0; off; as-given\n")
    assert out.read_bytes() == PNG
    path, body = server.seen[0]
    assert path == "/fuse?format=png&quality=3"
    assert body.count(b'name="exposures"; filename') == 2
    assert body.index(b"\r\n\r\ndark\r\n") < body.index(b"\r\n\r\nbright\r\n")


def test_a_stack_is_sent_with_its_reference(server, files, tmp_path, expofuse):
    server.answer = (200, PNG, HEADERS | {"X-Expofuse-Exposure-Order": "3,1,2"})
    out = tmp_path / "fused.png"
    said = expofuse("fuse", *files, files[0], "-o", out, "--server", server.url, "--reference", 3)
    assert said.out == b"w-1.0.0; off; 3,1,2\n"
    path, body = server.seen[0]
    assert path == "/fuse?reference=3&format=png"
    assert body.count(b'name="exposures"; filename') == 3


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (
            b'{"type": "/problems/body-too-large", "title": "Too large", "status": 413,'
            b'"detail": "why", "request_id": "r1"}',
            "413: Too large: why",
        ),
        (b"<html>", "413"),
    ],
)
def test_a_refusal_is_told_in_one_sentence(server, files, tmp_path, expofuse, content, sentence):
    server.answer = (413, content, {"Content-Type": "application/problem+json"})
    said = expofuse("fuse", *files, "-o", tmp_path / "out.png", "--server", server.url)
    assert said.code == 1
    assert sentence in said.err
    assert said.err.count("\n") == 1
    assert not (tmp_path / "out.png").exists()


@pytest.mark.parametrize("url", ["ftp://x", "localhost:8000", "http://"])
def test_a_url_that_is_none_is_misuse(files, tmp_path, expofuse, url):
    said = expofuse("fuse", *files, "-o", tmp_path / "out.png", "--server", url)
    assert said.code == 2
    assert said.err.startswith("expofuse: expected ")


def test_no_service_at_all_is_told(files, tmp_path, expofuse):
    said = expofuse("fuse", *files, "-o", tmp_path / "a.png", "--server", "http://127.0.0.1:9")
    assert said.code == 1
    assert "127.0.0.1:9" in said.err


def test_pipes_take_an_exposure_and_give_the_picture(pair, tmp_path, expofuse):
    expofuse("fuse", *pair, "-o", tmp_path / "fused.png")
    said = expofuse("fuse", pair[0], "-", "-o", "-", stdin=pair[1].read_bytes())
    assert said.code == 0
    assert said.out == (tmp_path / "fused.png").read_bytes()
    assert said.err.startswith("pyramid-blend-2.1.0; ")


def test_only_one_exposure_comes_from_standard_input(tmp_path, expofuse):
    said = expofuse("fuse", "-", "-", "-o", tmp_path / "fused.png")
    assert said.code == 2
    assert "one exposure from standard input" in said.err


def test_the_outcome_is_told_as_json(pair, tmp_path, expofuse):
    out = tmp_path / "fused.png"
    said = expofuse("fuse", *pair, "-o", out, "--align", "off", "--json")
    told = json.loads(said.out)
    assert (told["out"], told["weights"]) == (out.as_posix(), "pyramid-blend-2.1.0")
    assert (told["order"], told["alignment"]) == ([1, 2], "off")
    assert told["options"] == {"align": "off"}
    assert 0.0 <= told["replaced_share"] <= 1.0


def test_a_failure_is_told_as_json_too(tmp_path, expofuse):
    said = expofuse("fuse", tmp_path / "a", tmp_path / "b", "-o", tmp_path / "c", "--json")
    assert said.code == 1
    assert json.loads(said.out)["error"]["code"] == "file"
    assert "No such file" in said.err


def test_a_picture_that_cannot_be_written_leaves_what_was_there(pair, tmp_path, expofuse):
    out = tmp_path / "missing" / "fused.png"
    assert expofuse("fuse", *pair, "-o", out).code == 1
    old = tmp_path / "old.png"
    old.write_bytes(b"old")
    assert expofuse("fuse", pair[0], tmp_path / "none.png", "-o", old).code == 1
    assert old.read_bytes() == b"old"


def test_the_command_line_fuses_a_stack_here(tmp_path, capsys):
    paths = [tmp_path / f"{number}.png" for number in range(3)]
    for path, gain in zip(paths, (1.0, 0.25, 0.5), strict=True):
        path.write_bytes(images.encoded(pixels=images.scene(gain=gain)))
    out = tmp_path / "fused.jpg"
    options = ["--out", str(out), "--align", "off", "--reference", "1"]
    assert main(["fuse", *map(str, paths), *options]) == 0
    assert out.read_bytes().startswith(b"\xff\xd8")
    assert capsys.readouterr().out == "pyramid-blend-2.1.0; off; 2,3,1\n"
    assert main(["fuse", *map(str, paths), "-o", str(out), "--reference", "4"]) == 1
    assert "reference from 1 to 3, got 4" in capsys.readouterr().err


@pytest.mark.parametrize("count", [1, 2, 4, 9])
def test_the_command_line_writes_over_no_exposure_of_a_stack(tmp_path, capsys, count):
    paths = [tmp_path / f"{number}.png" for number in range(count)]
    for path in paths:
        path.write_bytes(images.encoded())
    assert main(["fuse", *map(str, paths)]) == 2
    assert "expected -o OUT" in capsys.readouterr().err
    assert all(path.read_bytes() == images.encoded() for path in paths)


@pytest.mark.parametrize(
    ("name", "options", "dtype"),
    [
        ("fused.png", [], np.uint16),
        ("fused", [], np.uint16),
        ("fused.jpg", ["--quality", "70", "--align", "off"], np.uint8),
        ("fused.png", ["--format", "webp", "--weights", "hyperp-mb-1.1.0"], np.uint8),
    ],
)
def test_the_command_line_fuses_here_when_it_is_given_no_url(
    tmp_path, capsys, name, options, dtype
):
    under, over, out = (tmp_path / file for file in ("under.png", "over.jpg", name))
    under.write_bytes(images.png16(images.scene(dtype=np.uint16, gain=0.3)))
    over.write_bytes(images.encoded("jpeg"))
    assert main(["fuse", str(under), str(over), str(out), *options]) == 0
    limits = PixelLimits(max_pixels=10**6, max_side_px=1000)
    pixels = decode(out.read_bytes(), limits=limits).pixels
    assert (pixels.shape, pixels.dtype) == (images.scene().shape, dtype)
    label = "hyperp-mb-1.1.0" if "--weights" in options else "pyramid-blend-2.1.0"
    alignment = "off" if "--align" in options else "refused; reason=few_matches"
    said = capsys.readouterr().out
    assert said.startswith(f"{label}; {alignment}")
    assert said.endswith("; as-given\n")


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ([], "expected a file of JPEG, PNG, WebP, TIFF"),
        (["--weights", "none-1.0.0"], "got 'none-1.0.0'"),
    ],
)
def test_the_command_line_tells_in_one_sentence_why_it_does_not_fuse(
    files, tmp_path, capsys, options, sentence
):
    assert main(["fuse", *map(str, files), str(tmp_path / "out.png"), *options]) == 1
    said = capsys.readouterr().err
    assert said.startswith("expofuse: ")
    assert sentence in said
    assert said.count("\n") == 1
    assert not (tmp_path / "out.png").exists()


@pytest.mark.parametrize(
    ("name", "options", "asked"),
    [
        ("fused.png", [], "/fuse?format=png"),
        ("fused.TIF", [], "/fuse?format=tiff"),
        ("fused", [], "/fuse"),
        ("fused.png", ["--format", "webp"], "/fuse?format=webp"),
        ("fused", ["--weights", "net-1.0.0"], "/fuse?weights=net-1.0.0"),
    ],
)
def test_the_command_line_asks_for_what_its_options_and_the_files_name_say(
    server, files, tmp_path, name, options, asked
):
    command = ["fuse", *map(str, files), str(tmp_path / name), "--url", server.url, *options]
    assert main(command) == 0
    assert server.seen[0][0] == asked


def test_the_command_line_says_what_is_wrong(tmp_path, capsys):
    missing = [str(tmp_path / name) for name in ("a", "b", "c")]
    assert main(["fuse", *missing]) == 1
    assert "No such file" in capsys.readouterr().err
