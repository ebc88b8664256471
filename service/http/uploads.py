"""Reads the multipart body of `POST /fuse` as a stream, counting what it keeps."""

from dataclasses import dataclass, field

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header
from starlette.requests import ClientDisconnect, Request

from expofuse.errors import MediaTypeError, OptionError
from model.exposure import MAX_EXPOSURES, check_count
from service.admission import Allowance
from service.errors import BodyTooLargeError, DisconnectedError, LengthRequiredError, MultipartError
from service.http.options import (
    FILE_FIELDS,
    OPTION_NAMES,
    PAIR_FIELDS,
    STACK_FIELD,
    FileField,
)

FORM_MEDIA_TYPE = b"multipart/form-data"
MAX_OPTION_BYTES = 255
"""Longest option value: a weights version is named as its directory is, and no name is longer."""


@dataclass(slots=True)
class Form:
    """The parts of one body.

    Attributes:
        fields: The field of each encoded exposure: `under` and `over`, or `exposures` repeated.
        files: The encoded exposures, under before over, others as they were sent.
        options: Options given as fields, by name.
    """

    fields: list[FileField] = field(default_factory=list)
    files: list[bytearray] = field(default_factory=list)
    options: dict[str, str] = field(default_factory=dict)

    @property
    def is_named_pair(self) -> bool:
        """The exposures came as `under` and `over`."""
        return STACK_FIELD not in self.fields

    def name_exposure(self, index: int) -> str:
        """What an exposure is called when a client is told about it."""
        if self.is_named_pair:
            return self.fields[index]
        return f"exposure {index + 1} of {len(self.fields)}"


async def receive_form(request: Request, allowance: Allowance, *, max_bytes: int) -> Form:
    """Stream the body of a request into memory under a byte limit.

    Args:
        request: Its body has not been touched.
        allowance: Counts what is kept, against the budget of all bodies.
        max_bytes: Most bytes of this body, declared or sent.

    Returns:
        Two to nine exposures and the options.

    Raises:
        LengthRequiredError: There is no body.
        BodyTooLargeError: The body is declared or turns out to be longer than `max_bytes`.
        MediaTypeError: The body is no multipart form.
        MultipartError: The form is malformed, ends early, or has neither `under` and `over` nor
            `exposures`, or both.
        ExposureError: `exposures` comes fewer than two or more than nine times.
        OptionError: A field is unknown, comes twice, or is too long.
        QueueFullError: The budget of all bodies is used up.
        DisconnectedError: The client left half-way.
    """
    boundary = _check_head(request, max_bytes)
    reader = _FormReader(boundary)
    received_bytes = 0
    try:
        async for chunk in request.stream():
            received_bytes += len(chunk)
            if received_bytes > max_bytes:
                raise BodyTooLargeError(f"expected a body of at most {max_bytes} bytes, got more")
            allowance.take(len(chunk))
            reader.feed(chunk)
    except ClientDisconnect as cause:
        raise DisconnectedError(
            f"the client left after {received_bytes} bytes of its body"
        ) from cause
    return reader.finish()


def _check_head(request: Request, max_bytes: int) -> bytes:
    declared = request.headers.get("content-length")
    if declared is None and "transfer-encoding" not in request.headers:
        raise LengthRequiredError("expected a body with Content-Length or in chunks, got none")
    # The server has checked that a declared length is a number.
    if declared is not None and int(declared) > max_bytes:
        raise BodyTooLargeError(
            f"expected a body of at most {max_bytes} bytes, got {declared} declared"
        )
    media_type, parameters = parse_options_header(request.headers.get("content-type"))
    if media_type != FORM_MEDIA_TYPE:
        raise MediaTypeError("expected Content-Type multipart/form-data, got another or none")
    boundary = parameters.get(b"boundary")
    if not boundary:
        raise MultipartError("expected a boundary parameter in Content-Type, got none")
    return boundary


class _FormReader:
    """Turns the parser's callbacks into a `Form`."""

    def __init__(self, boundary: bytes) -> None:
        self._form = Form()
        self._header_name = bytearray()
        self._header_value = bytearray()
        self._disposition: bytes | None = None
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
            )
        except FormParserError as cause:
            raise MultipartError("expected a boundary of at most 256 bytes, got more") from cause

    def feed(self, chunk: bytes) -> None:
        try:
            self._parser.write(chunk)
        except FormParserError as cause:
            raise MultipartError("expected a well-formed multipart body, got another") from cause

    def finish(self) -> Form:
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

    def _begin_part(self) -> None:
        self._disposition = None
        self._file = None
        self._option_name = None

    def _add_header_name(self, data: bytes, start: int, end: int) -> None:
        self._header_name += data[start:end]

    def _add_header_value(self, data: bytes, start: int, end: int) -> None:
        self._header_value += data[start:end]

    def _end_header(self) -> None:
        if self._header_name.lower() == b"content-disposition":
            self._disposition = bytes(self._header_value)
        self._header_name.clear()
        self._header_value.clear()

    def _open_part(self) -> None:
        _, parameters = parse_options_header((self._disposition or b"").decode("latin-1"))
        name = parameters.get(b"name", b"").decode("latin-1")
        for file_field in FILE_FIELDS:
            if name == file_field:
                self._open_file(file_field)
                return
        if name not in OPTION_NAMES:
            known = ", ".join((*FILE_FIELDS, *OPTION_NAMES))
            raise OptionError(f"expected the fields {known}, got an unknown one")
        if name in self._form.options:
            raise OptionError(f"expected the field '{name}' once, got it twice")
        self._option_name = name
        self._option.clear()

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
        if self._option_name is not None:
            self._form.options[self._option_name] = self._option.decode("latin-1")

    def _complete(self) -> None:
        self._is_complete = True
