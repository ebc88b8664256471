"""Reads the multipart body of `POST /fuse` as a stream, counting what it keeps."""

from collections.abc import Sequence

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header
from starlette.requests import ClientDisconnect, Request

from expofuse.errors import MediaTypeError, OptionError
from model.exposure import MAX_EXPOSURES, check_count
from service.admission import Allowance
from service.errors import (
    BodyTooLargeError,
    CodingError,
    DisconnectedError,
    LengthRequiredError,
    MultipartError,
)
from service.fusing.form import Form
from service.fusing.options import (
    FILE_FIELDS,
    OPTION_NAMES,
    PAIR_FIELDS,
    STACK_FIELD,
    FileField,
    tell_name,
)

FORM_MEDIA_TYPE = b"multipart/form-data"
MAX_OPTION_BYTES = 255
"""Longest option value: a weights version is named as its directory is, and no name is longer."""

MAX_CONTENT_TYPE_BYTES = 1024
"""A boundary has at most 256 bytes; the time to take a longer one apart grows with its square."""

MAX_PARTS = 64
"""Parts of one form: all exposures and options, and room for fields that a page leaves empty."""

MAX_PART_HEADERS = 16
MAX_PART_HEADER_BYTES = 4096
MAX_PADDING_BYTES = 64
"""White space behind the first delimiter; old mail programs write some."""

PLAIN_CODINGS = ("", "identity")
"""Values of `Content-Encoding` that say nothing."""

PLAIN_TRANSFER_CODINGS = ("", "binary", "8bit", "7bit")
"""Values of a part's `Content-Transfer-Encoding` that leave its bytes as they are."""


async def receive_form(
    request: Request,
    allowance: Allowance,
    *,
    max_bytes: int,
    option_names: Sequence[str] = OPTION_NAMES,
) -> Form:
    """Stream the body of a request into memory under a byte limit.

    Args:
        request: Its body has not been touched.
        allowance: Counts what is kept, against the budget of all bodies.
        max_bytes: Most bytes of this body, declared or sent.
        option_names: Fields that may come beside the exposures.

    Returns:
        Two to nine exposures and the options.

    Raises:
        LengthRequiredError: There is no body.
        BodyTooLargeError: The body is declared or turns out to be longer than `max_bytes`.
        MediaTypeError: The body is no multipart form, or a part is a form of its own.
        CodingError: The body or a part of it is compressed or encoded.
        MultipartError: The form is malformed, ends early, has too many parts, or has neither
            `under` and `over` nor `exposures`, or both.
        ExposureError: `exposures` comes fewer than two or more than nine times.
        OptionError: A field is unknown, comes twice, or is too long.
        QueueFullError: The budget of all bodies is used up.
        DisconnectedError: The client left half-way.
    """
    boundary = _check_head(request, max_bytes)
    reader = _FormReader(boundary, option_names)
    received_bytes = 0
    try:
        async for chunk in request.stream():
            received_bytes += len(chunk)
            if received_bytes > max_bytes:
                raise BodyTooLargeError(f"expected a body of at most {max_bytes} bytes, got more")
            allowance.take(len(chunk))
            reader.feed(chunk)
        return reader.finish()
    except ClientDisconnect as cause:
        raise DisconnectedError(
            f"the client left after {received_bytes} bytes of its body"
        ) from cause
    finally:
        reader.close()


def _check_head(request: Request, max_bytes: int) -> bytes:
    declared = request.headers.get("content-length")
    if declared is None and "transfer-encoding" not in request.headers:
        raise LengthRequiredError("expected a body with Content-Length or in chunks, got none")
    # The server has checked that a declared length is a number.
    if declared is not None and int(declared) > max_bytes:
        raise BodyTooLargeError(
            f"expected a body of at most {max_bytes} bytes, got {declared} declared"
        )
    codings = _list_tokens(",".join(request.headers.getlist("content-encoding")))
    if not set(codings) <= set(PLAIN_CODINGS):
        raise CodingError("expected a body without Content-Encoding, got a compressed one")
    content_type = request.headers.get("content-type", "")
    if len(content_type) > MAX_CONTENT_TYPE_BYTES:
        raise MultipartError(
            f"expected a Content-Type of at most {MAX_CONTENT_TYPE_BYTES} bytes, got more"
        )
    media_type, parameters = parse_options_header(content_type)
    if media_type != FORM_MEDIA_TYPE:
        raise MediaTypeError("expected Content-Type multipart/form-data, got another or none")
    boundary = parameters.get(b"boundary")
    if not boundary:
        raise MultipartError("expected a boundary parameter in Content-Type, got none")
    return boundary


def _list_tokens(value: str) -> list[str]:
    return [token.strip().lower() for token in value.split(",")]


class _Preamble:
    """Finds where the first part begins; what comes before it means nothing (RFC 2046, 5.1.1)."""

    def __init__(self, boundary: bytes) -> None:
        self._delimiter = b"--" + boundary
        self._kept = bytearray(b"\r\n")  # The delimiter of a body without a preamble begins a line.

    def feed(self, chunk: bytes) -> bytes | None:
        """The body from its first delimiter on, with this chunk's end; None: not found yet.

        Raises:
            MultipartError: The line of the delimiter ends in LF alone.
        """
        kept = self._kept
        kept += chunk
        begin = 0
        while (begin := kept.find(self._delimiter, begin)) >= 0:
            end = begin + len(self._delimiter)
            line_end = bytes(kept[end : end + MAX_PADDING_BYTES + 2]).lstrip(b" \t")[:2]
            if len(line_end) < 2 and len(kept) < end + MAX_PADDING_BYTES + 2:
                break
            if kept[begin - 1] == ord("\n"):
                if line_end.startswith(b"\n"):
                    raise MultipartError(
                        "expected lines that end in CR LF, got one that ends in LF"
                    )
                if line_end in (b"\r\n", b"--"):
                    return self._delimiter + bytes(kept[kept.index(line_end, end) :])
            begin += 1
        # What may be the beginning of a delimiter stays, with the end of the line before it.
        keep_from = begin - 1 if begin > 0 else max(0, len(kept) - len(self._delimiter))
        del kept[:keep_from]
        return None


class _FormReader:
    """Turns the parser's callbacks into a `Form`."""

    def __init__(self, boundary: bytes, option_names: Sequence[str]) -> None:
        self._option_names = option_names
        self._form = Form()
        self._preamble: _Preamble | None = _Preamble(boundary)
        self._header_name = bytearray()
        self._header_value = bytearray()
        self._headers: dict[bytes, bytes] = {}
        self._parts = 0
        self._unchosen: FileField | None = None
        self._file: bytearray | None = None
        self._option_name: str | None = None
        self._option = bytearray()
        self._is_complete = False
        try:
            self._parser = MultipartParser(
                boundary,
                {
                    "on_part_begin": self._begin_part,
                    "on_header_field": self._add_header_name,
                    "on_header_value": self._add_header_value,
                    "on_header_end": self._end_header,
                    "on_headers_finished": self._open_part,
                    "on_part_data": self._add_data,
                    "on_part_end": self._end_part,
                    "on_end": self._complete,
                },
                max_header_count=MAX_PART_HEADERS,
                max_header_size=MAX_PART_HEADER_BYTES,
            )
        except FormParserError as cause:
            raise MultipartError("expected a boundary of at most 256 bytes, got more") from cause

    def feed(self, chunk: bytes) -> None:
        if self._preamble is not None:
            rest = self._preamble.feed(chunk)
            if rest is None:
                return
            self._preamble = None
            chunk = rest
        if self._is_complete:
            return  # What comes after the last part means nothing either.
        try:
            self._parser.write(chunk)
        except FormParserError as cause:
            raise MultipartError(
                "expected a well-formed multipart body with lines that end in CR LF, and parts of "
                f"at most {MAX_PART_HEADERS} headers of {MAX_PART_HEADER_BYTES} bytes, got another"
            ) from cause

    def finish(self) -> Form:
        if self._preamble is not None:
            raise MultipartError("expected the boundary that Content-Type names, the body has none")
        if not self._is_complete:
            raise MultipartError("expected the closing boundary, the body ended before it")
        form = self._form
        if not form.is_named_pair:
            check_count(len(form.files))
            return form
        for name in PAIR_FIELDS:
            if name not in form.fields:
                raise MultipartError(
                    "expected the fields under and over, or exposures two to nine times; "
                    f"'{name}' is missing"
                )
        if form.fields != list(PAIR_FIELDS):
            form.fields.reverse()
            form.files.reverse()
        return form

    def close(self) -> None:
        """Part from the parser, which knows the reader: only a collector would find both."""
        self._parser.callbacks = {}

    def _begin_part(self) -> None:
        self._parts += 1
        if self._parts > MAX_PARTS:
            raise MultipartError(f"expected a form of at most {MAX_PARTS} parts, got more")
        self._headers.clear()
        self._unchosen = None
        self._file = None
        self._option_name = None

    def _add_header_name(self, data: bytes, start: int, end: int) -> None:
        self._header_name += data[start:end]

    def _add_header_value(self, data: bytes, start: int, end: int) -> None:
        self._header_value += data[start:end]

    def _end_header(self) -> None:
        self._headers[bytes(self._header_name).lower()] = bytes(self._header_value)
        self._header_name.clear()
        self._header_value.clear()

    def _open_part(self) -> None:
        _, parameters = parse_options_header(self._header(b"content-disposition"))
        name = parameters.get(b"name", b"").decode("latin-1")
        if not name:
            raise MultipartError(
                "expected a name in the Content-Disposition of each part, got a part without one"
            )
        self._check_part(name)
        for file_field in FILE_FIELDS:
            if name == file_field:
                if parameters.get(b"filename") == b"":
                    self._unchosen = file_field
                else:
                    self._open_file(file_field)
                return
        if name not in self._option_names:
            known = ", ".join((*FILE_FIELDS, *self._option_names))
            raise OptionError(f"expected the fields {known}, got {tell_name(name)}")
        self._option_name = name
        self._option.clear()

    def _header(self, name: bytes) -> str:
        return self._headers.get(name, b"").decode("latin-1")

    def _check_part(self, name: str) -> None:
        """Refuse a part whose bytes are not the exposure or the value itself."""
        transfer_coding = self._header(b"content-transfer-encoding").strip().lower()
        if transfer_coding not in PLAIN_TRANSFER_CODINGS:
            raise CodingError(
                f"expected the part {tell_name(name)} without Content-Transfer-Encoding, or with "
                "binary, got another"
            )
        if not set(_list_tokens(self._header(b"content-encoding"))) <= set(PLAIN_CODINGS):
            raise CodingError(
                f"expected the part {tell_name(name)} without Content-Encoding, got one with it"
            )
        if self._header(b"content-type").strip().lower().startswith("multipart/"):
            raise MediaTypeError(
                f"expected a file or a value in the part {tell_name(name)}, got a nested multipart"
            )

    def _open_file(self, name: FileField) -> None:
        form = self._form
        if form.fields and (name == STACK_FIELD) == form.is_named_pair:
            raise MultipartError(
                "expected either under and over, or exposures two to nine times, got both"
            )
        if name != STACK_FIELD and name in form.fields:
            raise OptionError(f"expected the field '{name}' once, got it twice")
        if len(form.fields) == MAX_EXPOSURES:
            check_count(MAX_EXPOSURES + 1)
        self._file = bytearray()
        form.fields.append(name)
        form.files.append(self._file)

    def _add_data(self, data: bytes, start: int, end: int) -> None:
        if self._unchosen is not None and end > start:
            self._open_file(self._unchosen)
            self._unchosen = None
        if self._file is not None:
            self._file += memoryview(data)[start:end]
            return
        self._option += data[start:end]
        if len(self._option) > MAX_OPTION_BYTES:
            raise OptionError(
                f"expected a value of at most {MAX_OPTION_BYTES} bytes for "
                f"'{self._option_name}', got more"
            )

    def _end_part(self) -> None:
        """Keep an option; an empty one, as forms send for a field left alone, is none.

        So is a file without a name and without a byte: the page's user chose none.
        """
        if self._option_name is None or not self._option:
            return
        if self._option_name in self._form.options:
            raise OptionError(f"expected the field '{self._option_name}' once, got it twice")
        self._form.options[self._option_name] = self._option.decode("latin-1")

    def _complete(self) -> None:
        self._is_complete = True
