"""Makes bodies of multipart forms: sound ones, some with a flaw, and some changed anywhere."""

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache

from hypothesis import strategies as st

from tests import images
from tests.fuzz.mutations import mutated

ENTITY_HEADERS = ("Content-Type: image/png", "Content-Transfer-Encoding: binary", "X-A: b")
BOUNDARIES = ("edge", "----WebKitFormBoundary7MA4YWxkTrZu0gW", "a'()+_,-./:=?", 70 * "b", "0")
OPTIONS = (
    ("format", "jpeg"), ("quality", "90"), ("align", "off"), ("ghosts", "off"), ("quality", ""),
    ("quality", "-1"), ("format", "exe"), ("reference", "1"), ("align", "require"),
)  # fmt: skip
CONTENTS = (b"", b"no picture", b"\r\n", b"--edge", b"\r\n--edg", b"\r\n--edge--x", bytes(500))
NAMES = ("under", "over", "exposures")


@cache
def sound_files() -> tuple[bytes, bytes]:
    """A pair as small as may be."""
    dark, bright = (images.encoded("png", pixels=images.scene(gain=gain)) for gain in (0.4, 1.0))
    return dark, bright


@dataclass(frozen=True, slots=True)
class FormCase:
    """A body, and what is known of it.

    Attributes:
        content_type: The header.
        body: The form.
        files: Of a sound form, what `receive_form` must find; None: not known.
        options: Likewise.
    """

    content_type: str
    body: bytes
    files: tuple[bytes, ...] | None = None
    options: dict[str, str] | None = None


@dataclass(slots=True)
class Part:
    """One part before it is written down."""

    name: str
    content: bytes
    headers: list[str] = field(default_factory=list)

    def write(self, draft: "Draft") -> bytes:
        disposition = f'Content-Disposition: form-data; name="{self.name}"'
        headers = self.headers or [disposition]
        lines = [f"--{draft.boundary}{draft.padding}", *headers, "", ""]
        return draft.line_end.join(lines).encode("latin-1") + self.content


@dataclass(slots=True)
class Draft:
    """A form before it is written down."""

    boundary: str
    parts: list[Part]
    content_type: str = ""
    preamble: bytes = b""
    epilogue: bytes = b"\r\n"
    padding: str = ""
    line_end: str = "\r\n"
    closing: str = "--"

    def write(self) -> FormCase:
        end = self.line_end.encode()
        parts = b"".join(part.write(self) + end for part in self.parts)
        closing = f"--{self.boundary}{self.closing}".encode("latin-1")
        content_type = self.content_type or f'multipart/form-data; boundary="{self.boundary}"'
        return FormCase(content_type, self.preamble + parts + closing + self.epilogue)


Flaw = Callable[[Draft], None]


def _instead(**values: object) -> Flaw:
    def change(draft: Draft) -> None:
        for name, value in values.items():
            setattr(draft, name, value)

    return change


def _first_header(*headers: str) -> Flaw:
    return lambda draft: draft.parts[0].headers.__init__(headers)


def _named(name: str) -> Flaw:
    return lambda draft: setattr(draft.parts[0], "name", name)


def _with(name: str, content: bytes, *headers: str) -> Flaw:
    return lambda draft: draft.parts.append(Part(name, content, list(headers)))


def _also(*headers: str) -> Flaw:
    """Headers beside the disposition of the first part."""

    def change(draft: Draft) -> None:
        part = draft.parts[0]
        part.headers = [f'Content-Disposition: form-data; name="{part.name}"', *headers]

    return change


FLAWS: dict[str, Flaw] = {
    "lines that end in LF": _instead(line_end="\n"),
    "lines that end in CR": _instead(line_end="\r"),
    "no closing boundary": _instead(closing="", epilogue=b""),
    "half a closing boundary": _instead(closing="-", epilogue=b""),
    "no boundary in the type": _instead(content_type="multipart/form-data"),
    "empty boundary": _instead(content_type="multipart/form-data; boundary="),
    "two boundaries": _instead(content_type="multipart/form-data; boundary=a; boundary=edge"),
    "another boundary": _instead(content_type="multipart/form-data; boundary=other"),
    "boundary of 300 bytes": _instead(boundary=300 * "b"),
    "boundary beyond ASCII": _instead(boundary="\xe4dge"),
    "boundary with quotation marks": _instead(boundary='a\\"b'),
    "boundary by RFC 5987": _instead(content_type="multipart/form-data; boundary*=utf-8''edge"),
    "charset in the type": _instead(
        content_type="multipart/form-data; charset=utf-16; boundary=edge", boundary="edge"),
    "long type": _instead(content_type="multipart/form-data; boundary=edge; a=" + 3000 * "x"),
    "another type": _instead(content_type="multipart/mixed; boundary=edge"),
    "type of quotation marks": _instead(content_type='multipart/form-data; boundary="'),
    "preamble": _instead(preamble=b"This is a message.\r\n\r\n--edg\r\n--edge x\r\n"),
    "preamble with the boundary within a line": _instead(preamble=b"a --edge\r\n--edgex\r\n"),
    "long preamble": _instead(preamble=20_000 * b"-" + b"\r\n"),
    "epilogue": _instead(epilogue=b"\r\n--edge\r\nagain\r\n--edge--\r\n"),
    "padded delimiters": _instead(padding=" \t "),
    "long padding": _instead(padding=200 * " "),
    "no parts": lambda draft: draft.parts.clear(),
    "twice the same": lambda draft: draft.parts.append(draft.parts[0]),
    "one missing": lambda draft: draft.parts.pop(),
    "other order": lambda draft: draft.parts.reverse(),
    "under and exposures": _with("exposures", b"x"),
    "ten exposures": lambda draft: draft.parts.__init__(Part("exposures", b"x") for _ in range(10)),
    "seventy parts": lambda draft: draft.parts.extend(Part("quality", b"") for _ in range(70)),
    "unknown name": _with("nothing", b"x"),
    "long name": _named(3000 * "n"),
    "empty name": _named(""),
    "name beyond ASCII": _named("\xfcnder"),
    "name with a null": _named("un\0der"),
    "name with an escape": _named('un\\"der'),
    "name with percents": _named("un%64er"),
    "name in capitals": _named("UNDER"),
    "name by RFC 5987": _first_header("Content-Disposition: form-data; name*=utf-8''under"),
    "name by a broken RFC 5987": _first_header("Content-Disposition: form-data; name*=x'under"),
    "two names": _first_header('Content-Disposition: form-data; name="under"; name="over"'),
    "no disposition": _first_header("Content-Type: image/png"),
    "two dispositions": _first_header('Content-Disposition: form-data; name="under"',
                                      'Content-Disposition: form-data; name="over"'),
    "attachment": _first_header('Content-Disposition: attachment; name="under"'),
    "file without a name": _first_header(
        'Content-Disposition: form-data; name="under"; filename=""'),
    "file with a path": _first_header(
        'Content-Disposition: form-data; name="under"; filename="C:\\..\\\xff;\\"a"'),
    "file by RFC 5987": _first_header(
        "Content-Disposition: form-data; name=under; filename*=UTF-8''%e2%82%ac%00"),
    "continued parameters": _first_header(
        'Content-Disposition: form-data; name*0="un"; name*1="der"'),
    "folded header": _first_header('Content-Disposition: form-data;\r\n name="under"'),
    "header without a colon": _also("Content-Type"),
    "header without a name": _also(": x"),
    "header with a null": _also("X-A: \0"),
    "header with a space before the colon": _also("X-A : b"),
    "many headers": _also(*(f"X-{number}: a" for number in range(40))),
    "long header": _also("X-A: " + 9000 * "a"),
    "nested": _also("Content-Type: multipart/mixed; boundary=inner"),
    "base64": _also("Content-Transfer-Encoding: base64"),
    "quoted-printable": _also("Content-Transfer-Encoding:Quoted-Printable "),
    "compressed": _also("Content-Encoding: gzip, identity"),
    "part with a charset": _also("Content-Type: text/plain; charset=utf-7"),
    "field of a charset": _with("_charset_", b"utf-16"),
    "long option": _with("weights", 400 * b"w"),
    "option twice": lambda draft: draft.parts.extend(
        [Part("format", b"png"), Part("format", b"png")]),
    "option of nulls": _with("format", b"\0\xff"),
    "option as a file": _with("format", b"png", 'Content-Disposition: form-data; name="format"; '
                              'filename="a"'),
}  # fmt: skip


@st.composite
def forms(draw) -> FormCase:
    """Any body."""
    kind = draw(st.sampled_from(("sound", "flawed", "flawed", "mutated", "mutated")))
    sound = draw(sound_forms(is_plain=kind == "sound"))
    if kind == "sound":
        return complete(sound)
    if kind == "flawed":
        for name in draw(st.lists(st.sampled_from(sorted(FLAWS)), min_size=1, max_size=2)):
            if sound.parts:
                FLAWS[name](sound)
    case = sound.write()
    if kind == "mutated":
        return FormCase(case.content_type, draw(mutated(case.body)))
    return case


@st.composite
def sound_forms(draw, *, is_plain: bool) -> Draft:
    """A form that may be taken apart in one way only."""
    boundary = draw(st.sampled_from(BOUNDARIES))
    files = draw(st.sampled_from((sound_files(), sound_files()[::-1], (b"no picture", b"x"))))
    if is_plain:
        files = (files[0] + draw(st.sampled_from(CONTENTS)), files[1])
        # What is a delimiter of this boundary ends the part, as it should.
        files = tuple(one.replace(f"\r\n--{boundary}".encode(), b"") for one in files)
    is_pair = draw(st.booleans())
    names = ("under", "over") if is_pair else ("exposures", "exposures")
    parts = [Part(name, one) for name, one in zip(names, files, strict=True)]
    for part in parts:
        part.headers = [f'Content-Disposition: form-data; name="{part.name}"; filename="a.png"']
        part.headers += draw(st.lists(st.sampled_from(ENTITY_HEADERS), unique=True))
    for name, value in draw(
        st.lists(st.sampled_from(OPTIONS), max_size=2, unique_by=lambda o: o[0])
    ):
        parts.insert(draw(st.integers(0, len(parts))), Part(name, value.encode()))
    return Draft(boundary, parts)


def complete(draft: Draft) -> FormCase:
    """A sound form with what must be found in it."""
    case = draft.write()
    files = tuple(part.content for part in draft.parts if part.name in NAMES)
    options = {
        part.name: part.content.decode()
        for part in draft.parts
        if part.name not in NAMES and part.content
    }
    return FormCase(case.content_type, case.body, files, options)


def write_request(case: FormCase, name: str = "form") -> bytes:
    """The whole request, by its length."""
    # A header's value has no line ends: whoever writes one there changes the head, which is the
    # affair of framing.
    head = (
        f"POST /fuse HTTP/1.1\r\nHost: x\r\nX-Request-Id: {name}\r\n"
        f"Content-Type: {case.content_type}\r\nContent-Length: {len(case.body)}\r\n\r\n"
    )
    return head.encode("latin-1") + case.body
