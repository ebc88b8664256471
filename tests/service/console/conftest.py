"""A command in this process, and a server that answers what a test wants."""

import io
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from service.console.cli import main
from tests import images

PNG = images.encoded("png")
HEADERS = {
    "Content-Type": "image/png",
    "Server-Timing": "decode;dur=1.5",
    "X-Expofuse-Alignment": "off",
    "X-Expofuse-Dropped": "none",
    "X-Expofuse-Exposure-Order": "as-given",
    "X-Expofuse-Frame": "none",
    "X-Expofuse-Ghosts": "off; replaced=0.25",
    "X-Expofuse-Reference": "2",
    "X-Expofuse-Unused": "none",
    "X-Expofuse-Weights": "w-1.0.0",
    "X-Request-Id": "r1",
}
WEIGHTS = b'{"default": "w-1.0.0", "loaded": [], "names": {"w-1.0.0": "w-1.0.0", "w": "w-1.0.0"}}'


class Handler(BaseHTTPRequestHandler):
    """Answers fusions with a picture, or with what the test set."""

    def do_POST(self):
        server = self.server
        server.seen.append((self.path, self._read_body()))
        status, content, headers = server.answer
        self._answer(status, content, headers)

    def do_GET(self):
        status, content = self.server.pages.get(self.path, (404, b"{}"))
        self._answer(status, content, {"Content-Type": "application/json"})

    def _read_body(self):
        if "Content-Length" in self.headers:
            return self.rfile.read(int(self.headers["Content-Length"]))
        body = b""
        while size := int(self.rfile.readline(), 16):
            body += self.rfile.read(size)
            self.rfile.readline()
        self.rfile.readline()
        return body

    def _answer(self, status, content, headers):
        self.send_response(status)
        for name, value in (headers | {"Content-Length": str(len(content))}).items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_):
        pass


@pytest.fixture
def server():
    with HTTPServer(("127.0.0.1", 0), Handler) as one:
        one.seen, one.answer = [], (200, PNG, HEADERS)
        one.pages = {"/weights": (200, WEIGHTS), "/healthz": (200, b'{"status":"ok"}')}
        one.url = f"http://127.0.0.1:{one.server_port}"
        thread = threading.Thread(target=one.serve_forever, args=(0.01,))
        thread.start()
        yield one
        one.shutdown()
        thread.join()


class Said:
    """Exit code of a command, and what it wrote."""

    def __init__(self, code, out, err):
        self.code, self.out, self.err = code, out, err


@pytest.fixture
def expofuse(capsysbinary, monkeypatch):
    """Runs a command, with bytes on its standard input."""

    def run(*arguments, stdin=b""):
        monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(stdin)))
        code = main([str(one) for one in arguments])
        said = capsysbinary.readouterr()
        return Said(code, said.out, said.err.decode())

    return run
