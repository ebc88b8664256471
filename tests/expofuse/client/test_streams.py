"""Files go up and pictures come down in pieces: neither is held whole."""

import io
import threading
import tracemalloc

import pytest

from expofuse.client import Client, NoAnswerError, RequestError
from tests.expofuse.client.scripted_server import answer, scripted_server
from tests.expofuse.client.test_report import headers

MIB = 2**20
FILE_BYTES = 48 * MIB
PIECE = bytes(MIB)
HELD_BYTES = 12 * MIB
"""Pieces in flight, buffers of sockets, and what the server of the test holds itself."""

HEADERS = [f"{name}: {value}" for name, value in headers().items()]


@pytest.fixture
def peak_bytes():
    """How much Python held at most since the test began."""
    tracemalloc.start()
    begin = tracemalloc.get_traced_memory()[0]
    yield lambda: tracemalloc.get_traced_memory()[1] - begin
    tracemalloc.stop()


def picture(length, *pieces):
    return [answer("200 OK", b"", *HEADERS, length=length), *pieces]


def test_files_are_read_while_they_are_sent(make_client, tmp_path, peak_bytes):
    path = tmp_path / "large"
    with path.open("wb") as file:
        file.truncate(FILE_BYTES)
    with (
        path.open("rb") as file,
        scripted_server(answer("400 Bad")) as server,
        pytest.raises(RequestError),
    ):
        make_client(server.url).fuse([path, file, path])
    assert server.bodies[0] > 3 * FILE_BYTES
    assert peak_bytes() < HELD_BYTES


def test_a_picture_is_written_while_it_comes(make_client, tmp_path, peak_bytes):
    script = picture(FILE_BYTES, *[PIECE] * (FILE_BYTES // MIB))
    with scripted_server(script) as server:
        report = make_client(server.url).fuse_to(tmp_path / "out", [b"one", b"two"])
    assert report.format == "png"
    assert (tmp_path / "out").stat().st_size == FILE_BYTES
    assert peak_bytes() < HELD_BYTES


def test_a_picture_goes_into_a_file_that_is_open(make_client):
    sink = io.BytesIO()
    with scripted_server(picture(7, b"pic", b"ture")) as server:
        make_client(server.url).fuse_to(sink, [b"one", b"two"])
    assert sink.getvalue() == b"picture"


def test_a_picture_that_breaks_off_leaves_what_was_there(make_client, tmp_path):
    place = tmp_path / "out"
    place.write_bytes(b"older")
    with scripted_server(*[picture(100, b"pic")] * 2) as server:
        with pytest.raises(NoAnswerError, match="no answer from 127"):
            make_client(server.url).fuse_to(place, [b"one", b"two"])
        with pytest.raises(NoAnswerError, match="no answer from 127"):
            make_client(server.url).fuse([b"one", b"two"])
    assert place.read_bytes() == b"older"
    assert list(tmp_path.iterdir()) == [place]


def test_a_disk_that_is_full_ends_the_call(make_client):
    with scripted_server(picture(MIB, PIECE)) as server, pytest.raises(OSError, match="No space"):
        make_client(server.url).fuse_to("/dev/full", [b"one", b"two"])


def test_threads_share_a_client():
    answers = [picture(3, b"pic")] * 4
    with scripted_server(*answers) as server, Client(server.url) as client:
        sinks = [io.BytesIO() for _ in answers]
        threads = [
            threading.Thread(target=client.fuse_to, args=(sink, [b"one", b"two"])) for sink in sinks
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert [sink.getvalue() for sink in sinks] == [b"pic"] * 4
