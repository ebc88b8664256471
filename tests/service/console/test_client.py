"""The command line and its client, against a server that answers what a test wants."""

import json
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer

import numpy as np
import pytest

from expofuse.files.headers import PixelLimits
from expofuse.files.reading.decode import decode
from service.console.cli import main
from service.console.client import ClientError, fuse_files
from tests import images


class Handler(BaseHTTPRequestHandler):
    def do_POST(self):
        server = self.server
        server.seen.append((self.path, self.rfile.read(int(self.headers["Content-Length"]))))
        status, content = server.answer
        self.send_response(status)
        self.send_header("Content-Length", str(len(content)))
        self.send_header("X-Expofuse-Weights", "w-1.0.0")
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_):
        pass


@pytest.fixture
def server():
    with HTTPServer(("127.0.0.1", 0), Handler) as one:
        one.seen, one.answer = [], (200, b"picture")
        one.url = f"http://127.0.0.1:{one.server_port}"
        thread = threading.Thread(target=one.serve_forever, args=(0.01,))
        thread.start()
        yield one
        one.shutdown()
        thread.join()


@pytest.fixture
def files(tmp_path):
    (tmp_path / "under").write_bytes(b"dark")
    (tmp_path / "over").write_bytes(b"bright")
    return tmp_path / "under", tmp_path / "over"


def test_files_and_options_are_sent_and_the_picture_comes_back(server, files):
    answer = fuse_files(files, url=f"{server.url}/", image_format="png", quality=3, weights="b")
    assert (answer.picture, answer.weights, answer.alignment) == (b"picture", "w-1.0.0", "")
    path, body = server.seen[0]
    assert path == "/fuse?format=png&quality=3&weights=b"
    assert b'name="under"' in body
    assert b"\r\n\r\nbright\r\n" in body


def test_more_than_two_files_are_sent_as_exposures(server, files):
    fuse_files((*files, files[0]), url=server.url, reference="2")
    path, body = server.seen[0]
    assert path == "/fuse?reference=2"
    assert body.count(b'name="exposures"; filename') == 3
    assert b'name="under"' not in body
    assert body.index(b"\r\n\r\nbright\r\n") < body.rindex(b"\r\n\r\ndark\r\n")


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (json.dumps({"title": "Too large", "detail": "why"}).encode(), "413: Too large: why"),
        (b"<html>", "the service answered 413"),
        (b"[]", "the service answered 413"),
    ],
)
def test_a_refusal_is_told_in_one_sentence(server, files, content, sentence):
    server.answer = (413, content)
    with pytest.raises(ClientError, match=sentence):
        fuse_files(files, url=server.url)


@pytest.mark.parametrize("url", ["ftp://x", "localhost:8000", "http://"])
def test_a_url_that_is_none_is_told(files, url):
    with pytest.raises(ClientError, match="http://"):
        fuse_files(files, url=url)


def test_no_service_at_all_is_told(files):
    with pytest.raises(ClientError, match=r"no answer from 127\.0\.0\.1:9"):
        fuse_files(files, url="http://127.0.0.1:9")


def test_the_command_line_writes_the_picture(server, files, tmp_path, capsys):
    out = tmp_path / "fused.png"
    assert main(["fuse", *map(str, files), str(out), "--url", server.url]) == 0
    assert out.read_bytes() == b"picture"
    assert capsys.readouterr().out.startswith("w-1.0.0; ")


def test_the_command_line_sends_a_stack_and_writes_the_picture(server, files, tmp_path):
    out = tmp_path / "fused.png"
    command = ["fuse", *map(str, files), str(files[0]), "-o", str(out), "--url", server.url]
    assert main([*command, "--reference", "3"]) == 0
    assert out.read_bytes() == b"picture"
    path, body = server.seen[0]
    assert path == "/fuse?format=png&reference=3"
    assert body.count(b'name="exposures"; filename') == 3


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


def test_the_command_line_prints_its_version(capsys):
    assert main(["version"]) == 0
    assert capsys.readouterr().out.startswith("expofuse ")


def test_a_misspelt_setting_is_told_before_anything_starts(monkeypatch, capsys):
    monkeypatch.setenv("EXPOFUSE_HOTS", "x")
    assert main(["serve"]) == 2
    assert "did you mean EXPOFUSE_HOST?" in capsys.readouterr().err
