"""Makes what a client may do on one connection: pipelines of requests, most of them with a flaw."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal

from hypothesis import strategies as st

from tests.fuzz.mutations import mutated, pieces

Ending = Literal["wait", "half-close", "close", "reset"]

SMUGGLED_ID = "smuggled"
SMUGGLED = f"GET /version HTTP/1.1\r\nHost: x\r\nX-Request-Id: {SMUGGLED_ID}\r\n\r\n".encode()
"""A request that only stands within bodies: whoever answers it took a body for a request."""

BEYOND_HEAD_BYTES = 40_000
TARGETS = (
    "/healthz", "/healthz", "/version", "/weights", "/problems/bad-option", "/nowhere", "*",
    "http://other/healthz", "/healthz?a=%00&b=" + 50 * "x", "//healthz", "/%2e%2e/etc", "/fuse",
)  # fmt: skip
PLAIN_METHODS = ("GET", "GET", "HEAD", "OPTIONS", "DELETE", "get", "CONNECT", "TRACE", "PROPFIND")
BODY_METHODS = ("POST", "POST", "PUT", "GET")
BODIES = (b"", b"abc", SMUGGLED, b"0\r\n\r\n" + SMUGGLED, bytes(3000), b'{"frames": []}')


@dataclass(frozen=True, slots=True)
class Exchange:
    """What a client does on one connection, and what is known of the answers.

    Attributes:
        writes: What it sends, with a moment between two of them.
        ending: `wait` reads all answers before the stream is ended, `half-close` ends it at once
            and reads; `close` and `reset` leave without reading.
        ids: Of sound requests, in the order in which they must be answered; None: not known.
        last: Id of the request behind which none may be answered; None: not known.
    """

    writes: tuple[bytes, ...]
    ending: Ending = "wait"
    ids: tuple[str, ...] | None = None
    last: str | None = None

    @property
    def data(self) -> bytes:
        return b"".join(self.writes)


@dataclass(slots=True)
class Draft:
    """One request before it is written down."""

    id: str
    method: str = "GET"
    target: str = "/healthz"
    version: str = "HTTP/1.1"
    headers: list[tuple[str, str]] = field(default_factory=lambda: [("Host", "x")])
    body: bytes | None = None
    chunk_bytes: int | None = None
    line_end: str = "\r\n"
    before_colon: str = ""
    raw_body: bytes | None = None

    def write(self) -> bytes:
        headers = [*self.headers, ("X-Request-Id", self.id)]
        line = f"{self.method} {self.target} {self.version}".rstrip(" ")
        lines = [line, *(f"{name}{self.before_colon}: {value}" for name, value in headers), "", ""]
        return self.line_end.join(lines).encode("latin-1") + self.write_body()

    def write_body(self) -> bytes:
        if self.raw_body is not None:
            return self.raw_body
        if self.body is None or self.chunk_bytes is None:
            return self.body or b""
        return write_chunks(self.body, self.chunk_bytes)

    def set(self, name: str, value: str) -> None:
        self.headers = [one for one in self.headers if one[0] != name]
        self.headers.append((name, value))


def write_chunks(body: bytes, size: int, *, end: bytes = b"0\r\n\r\n") -> bytes:
    cut = (body[at : at + size] for at in range(0, len(body), size))
    return b"".join(b"%x\r\n%b\r\n" % (len(one), one) for one in cut) + end


Flaw = Callable[[Draft], None]


def _with(*headers: tuple[str, str]) -> Flaw:
    return lambda draft: draft.headers.extend(headers)


def _instead(**values: object) -> Flaw:
    def change(draft: Draft) -> None:
        for name, value in values.items():
            setattr(draft, name, value)

    return change


def _length(value: str) -> Flaw:
    def change(draft: Draft) -> None:
        draft.body, draft.chunk_bytes = draft.body or b"abcde", None
        draft.headers = [one for one in draft.headers if one[0] != "Transfer-Encoding"]
        draft.set("Content-Length", value)

    return change


def _chunks(raw: bytes, *headers: tuple[str, str]) -> Flaw:
    def change(draft: Draft) -> None:
        draft.method = "POST"
        draft.headers = [one for one in draft.headers if one[0] != "Content-Length"]
        draft.set("Transfer-Encoding", "chunked")
        draft.headers.extend(headers)
        draft.raw_body = raw

    return change


def _coding(value: str) -> Flaw:
    def change(draft: Draft) -> None:
        _chunks(write_chunks(SMUGGLED, 16))(draft)
        draft.set("Transfer-Encoding", value)

    return change


FATAL: dict[str, Flaw] = {
    "two lengths": lambda draft: (_length("5")(draft), _with(("Content-Length", "6"))(draft)),
    "length and chunks": lambda draft: (_length("5")(draft), _coding("chunked")(draft),
                                        draft.set("Content-Length", "5")),
    "negative length": _length("-5"),
    "signed length": _length("+5"),
    "hexadecimal length": _length("0x5"),
    "length with a space": _length("5 5"),
    "two codings": _coding("gzip, chunked"),
    "unknown coding": _coding("xchunked"),
    "coding twice": lambda draft: (_coding("chunked")(draft),
                                   _with(("Transfer-Encoding", "chunked"))(draft)),
    "coding with a tab inside": _coding("chun\tked"),
    "space before the colon": _instead(before_colon=" "),
    "null in a header": _with(("X-A", "a\0b")),
    "return in a header": _with(("X-A", "a\rb")),
    "empty name": _with(("", "a")),
    "name with a space": _with(("X A", "a")),
    "no host": lambda draft: draft.headers.remove(("Host", "x")),
    "two hosts": _with(("Host", "y")),
    "long header": _with(("X-A", BEYOND_HEAD_BYTES * "a")),
    "many headers": lambda draft: draft.headers.extend((f"X-{n}", "a") for n in range(4000)),
    "long target": _instead(target="/" + BEYOND_HEAD_BYTES * "a"),
    "chunk of a negative size": _chunks(b"-3\r\nabc\r\n0\r\n\r\n"),
    "chunk of a signed size": _chunks(b"+3\r\nabc\r\n0\r\n\r\n"),
    "chunk of a prefixed size": _chunks(b"0x3\r\nabc\r\n0\r\n\r\n"),
    "chunk of a size with a space": _chunks(b"3 3\r\nabc\r\n0\r\n\r\n"),
    "chunk of a huge size": _chunks(30 * b"f" + b"\r\nabc\r\n0\r\n\r\n"),
    "chunk longer than it says": _chunks(b"3\r\nabcdef\r\n0\r\n\r\n"),
    "chunk without an end": _chunks(b"3\r\nabc0\r\n\r\n"),
    "trailer without a colon": _chunks(b"3\r\nabc\r\n0\r\ntrailer\r\n\r\n"),
    "version 2": _instead(version="HTTP/2.0"),
    "version 1.2": _instead(version="HTTP/1.2"),
    "no version": _instead(version=""),
    "version in small letters": _instead(version="http/1.1"),
    "method with a null": _instead(method="G\0T"),
    "no method": _instead(method=""),
    "target with a space": _instead(target="/a b"),
}  # fmt: skip
"""After each of these nobody knows where the next request begins, or the head means nothing."""

HARMLESS: dict[str, Flaw] = {
    "length too long": _length("900"),
    "length too short": _length("2"),
    "length of a gigabyte": _length("1000000000"),
    "length of twenty digits": _length(20 * "9"),
    "length twice the same": lambda draft: (_length("5")(draft), draft.headers.append(
        ("Content-Length", draft.headers[-1][1]))),
    "folded header": _with(("X-A", "a\r\n b")),
    "lines that end in LF": _instead(line_end="\n"),
    "coding in capitals": _coding("CHUNKED"),
    "chunk with an extension": _chunks(b'3;a="b;c"\r\nabc\r\n0;x\r\n\r\n'),
    "chunk with a long extension": _chunks(b"3;" + 3000 * b"a" + b"\r\nabc\r\n0\r\n\r\n"),
    "chunk line in LF": _chunks(b"3\nabc\n0\n\n"),
    "trailers": _chunks(b"3\r\nabc\r\n0\r\nX-A: b\r\nContent-Length: 9\r\n\r\n"),
    "many small chunks": _chunks(write_chunks(bytes(600), 1)),
    "expects": _with(("Expect", "100-continue")),
    "expects something else": _with(("Expect", "nothing")),
    "offers to upgrade": _with(("Connection", "Upgrade, HTTP2-Settings"), ("Upgrade", "h2c"),
                               ("HTTP2-Settings", "AAMAAABkAARAAAAAAAIAAAAA")),
    "offers a web socket": _with(("Connection", "Upgrade"), ("Upgrade", "websocket"),
                                 ("Sec-WebSocket-Key", "AAAAAAAAAAAAAAAAAAAAAA=="),
                                 ("Sec-WebSocket-Version", "13")),
    "closes": _with(("Connection", "close")),
    "keeps": _with(("Connection", "keep-alive")),
    "version 1.0": _instead(version="HTTP/1.0"),
    "long method": _instead(method=300 * "A"),
    "twice the same header": _with(("X-A", "a"), ("X-A", "b"), ("Accept", "*/*"),
                                   ("Accept", "a/b")),
    "letters beyond ASCII": _with(("X-A", "\xe4\xf6")),
    "odd accept": _with(("Accept", ";q=,/,*/q;q=9"), ("If-None-Match", '"\\'),
                        ("Range", "bytes=9-")),
    "odd content type": _with(("Content-Type", 'multipart/form-data; boundary="a; b=')),
    "long content type": _with(("Content-Type", "multipart/form-data; " + 3000 * 'a="')),
    "origin": _with(("Origin", "null"), ("Access-Control-Request-Method", "POST")),
    "forwarded": _with(("X-Forwarded-For", "1, ::1, \xff"), ("Forwarded", 'for="[')),
    "odd ids": _with(("X-Request-Id", 100 * "a")),
    "prefers": _with(("Prefer", "wait=-1, respond-async; wait=99999999999999999999")),
    "key": _with(("Idempotency-Key", '"\\x"'), ("Authorization", "Bearer \xff")),
}  # fmt: skip
"""What a service must take, refuse or ignore without losing its place."""

ALONE = (
    b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\x00\x00\x00\x04\x00\x00\x00\x00\x00",
    b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(64),
    b"\x04\x01\x00\x50\x7f\x00\x00\x01\x00",
    b"PROXY TCP4 1.2.3.4 1.2.3.4 1 2\r\nGET / HTTP/1.1\r\nHost: x\r\n\r\n",
    b"GET /healthz\r\n",
    b"\r\n\r\n\r\n",
    b"\x00",
    b"",
)
"""Whole connections of other protocols, and of none."""


@st.composite
def drafts(draw, number: int) -> tuple[Draft, bool]:
    """One request, and whether it ends the connection."""
    draft = Draft(f"r{number}", target=draw(st.sampled_from(TARGETS)))
    framing = draw(st.sampled_from(("none", "none", "length", "chunks")))
    draft.method = draw(st.sampled_from(PLAIN_METHODS if framing == "none" else BODY_METHODS))
    if framing != "none":
        draft.body = draw(st.sampled_from(BODIES))
    if framing == "length":
        draft.set("Content-Length", str(len(draft.body or b"")))
    elif framing == "chunks":
        draft.set("Transfer-Encoding", "chunked")
        draft.chunk_bytes = draw(st.sampled_from((1, 7, 4096)))
    kind = draw(st.sampled_from(("sound", "sound", "harmless", "fatal")))
    if kind == "harmless":
        for name in draw(st.lists(st.sampled_from(sorted(HARMLESS)), min_size=1, max_size=2)):
            HARMLESS[name](draft)
    elif kind == "fatal":
        FATAL[draw(st.sampled_from(sorted(FATAL)))](draft)
    return draft, kind == "fatal"


SOUND_TARGETS = ("/healthz", "/version", "/problems/bad-option", "/nowhere")


@st.composite
def sound_drafts(draw, number: int) -> Draft:
    """A request about which nothing is wrong, and whose body looks like another one."""
    draft = Draft(f"r{number}", target=draw(st.sampled_from(SOUND_TARGETS)))
    framing = draw(st.sampled_from(("none", "length", "chunks")))
    if framing == "none":
        draft.method = draw(st.sampled_from(("GET", "HEAD", "OPTIONS")))
        return draft
    draft.method = draw(st.sampled_from(("POST", "GET")))
    draft.body = draw(st.sampled_from(BODIES))
    if framing == "length":
        draft.set("Content-Length", str(len(draft.body)))
    else:
        draft.set("Transfer-Encoding", "chunked")
        draft.chunk_bytes = draw(st.sampled_from((1, 7, 4096)))
    return draft


@st.composite
def exchanges(draw) -> Exchange:
    """Whatever a client may do."""
    kind = draw(st.sampled_from(("sound", "flawed", "flawed", "mutated", "mutated", "alone")))
    ending = draw(st.sampled_from(("wait", "wait", "half-close", "half-close", "close", "reset")))
    if kind == "alone":
        return Exchange(draw(pieces(draw(st.sampled_from(ALONE)))), ending)
    count = draw(st.integers(1, 4))
    if kind == "sound":
        requests = [draw(sound_drafts(number)) for number in range(count)]
        data = draw(st.sampled_from((b"", b"\r\n"))).join(one.write() for one in requests)
        return Exchange(draw(pieces(data)), ending, ids=tuple(one.id for one in requests))
    drawn = [draw(drafts(number)) for number in range(count)]
    data = b"".join(draft.write() for draft, _ in drawn)
    last = None
    if kind == "mutated":
        data = draw(mutated(data))
    else:
        last = next((draft.id for draft, is_fatal in drawn if is_fatal), None)
    return Exchange(draw(pieces(data)), ending, last=last)
