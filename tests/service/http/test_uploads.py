import pytest
from starlette.requests import Request

from expofuse.errors import MediaTypeError, OptionError
from model.errors import ExposureError
from service.admission import Admission
from service.errors import (
    BodyTooLargeError,
    CodingError,
    DisconnectedError,
    LengthRequiredError,
    MultipartError,
    QueueFullError,
)
from service.http import uploads
from service.http.uploads import receive_form
from service.settings import LimitSettings

BOUNDARY = "edge"
FORM = f"multipart/form-data; boundary={BOUNDARY}"


def part(name, content, disposition="form-data"):
    head = f'--{BOUNDARY}\r\nContent-Disposition: {disposition}; name="{name}"'
    return head.encode() + b"\r\nContent-Type: image/png\r\n\r\n" + content + b"\r\n"


def body(**parts):
    return b"".join(part(name, content) for name, content in parts.items()) + END


def stack_body(count):
    return b"".join(part("exposures", f"file {n}".encode()) for n in range(count)) + END


def coded(header):
    """A sound form but for one more header of its first part."""
    return PAIR.replace(b"\r\n", f"\r\n{header}\r\n".encode(), 1)


END = f"--{BOUNDARY}--\r\n".encode()
PAIR = body(under=b"dark", over=b"bright")


async def receive(admission, content, *, max_bytes=10_000, step=None, leaves=False, headers=None):
    step = step or max(1, len(content))
    chunks = [content[at : at + step] for at in range(0, len(content), step)]
    messages = [{"type": "http.request", "body": chunk, "more_body": True} for chunk in chunks]
    messages.append({"type": "http.disconnect"} if leaves else {"type": "http.request"})
    waiting = iter(messages)

    async def receive_message():
        return next(waiting)

    given = {"content-type": FORM, "content-length": str(len(content))} | (headers or {})
    request = Request(
        {
            "type": "http",
            "method": "POST",
            "headers": [
                (name.encode(), value.encode())
                for name, value in given.items()
                if value is not None
            ],
        },
        receive_message,
    )
    with admission.hold_upload() as allowance:
        return await receive_form(request, allowance, max_bytes=max_bytes)


@pytest.fixture
def admission(metrics):
    return Admission(LimitSettings(max_upload_bytes=20_000, max_body_bytes=20_000), metrics)


@pytest.mark.parametrize("step", [None, 1, 7])
async def test_images_and_options_arrive_whole_however_they_are_cut(admission, step):
    content = body(align=b"off", under=b"dark\r\n--ed", over=b"\x00\xff" * 50, quality=b"4")
    form = await receive(admission, content, step=step)
    assert form.fields == ["under", "over"]
    assert form.files == [b"dark\r\n--ed", b"\x00\xff" * 50]
    assert form.options == {"align": "off", "quality": "4"}


async def test_a_body_of_unknown_length_is_taken(admission):
    headers = {"content-length": None, "transfer-encoding": "chunked"}
    form = await receive(admission, PAIR, step=9, headers=headers)
    assert form.fields == ["under", "over"]


async def test_under_comes_before_over_whichever_was_sent_first(admission):
    form = await receive(admission, body(over=b"bright", under=b"dark"))
    assert form.files == [b"dark", b"bright"]
    assert [form.name_exposure(index) for index in range(2)] == ["under", "over"]


@pytest.mark.parametrize("step", [None, 7])
@pytest.mark.parametrize("count", [2, 3, 9])
async def test_exposures_are_kept_as_they_were_sent(admission, count, step):
    content = part("align", b"off") + stack_body(count)
    form = await receive(admission, content, step=step)
    assert form.files == [f"file {number}".encode() for number in range(count)]
    assert form.options == {"align": "off"}
    assert form.name_exposure(count - 1) == f"exposures[{count}] of {count}"


@pytest.mark.parametrize(
    ("content", "error", "sentence"),
    [
        (body(under=b"x"), MultipartError, "'over' is missing"),
        (body(over=b"x"), MultipartError, "'under' is missing"),
        (stack_body(1), ExposureError, "2 to 9 exposures, got 1"),
        (stack_body(10), ExposureError, "2 to 9 exposures, got 10"),
        (body(under=b"x", exposures=b"y"), MultipartError, "either .* got both"),
        (body(under=b"x", over=b"y", exposures=b"z"), MultipartError, "either .* got both"),
        (part("exposures", b"x") + PAIR, MultipartError, "either .* got both"),
        (END, MultipartError, "fields under and over, or exposures two to nine times"),
        (PAIR[: -len(END)], MultipartError, "the body ended before it"),
        (b"no multipart at all", MultipartError, "the body has none"),
        (b"", MultipartError, "the body has none"),
        (b"--other\r\n" + PAIR.replace(b"edge", b"ledge"), MultipartError, "the body has none"),
        (PAIR.replace(b"\r\n", b"\n"), MultipartError, "CR LF, got one that ends in LF"),
        (PAIR.replace(b"png\r\n", b"png\n"), MultipartError, "well-formed"),
        (PAIR.replace(b"\r\n", b"\r\n" + b"X: y\r\n" * 17, 1), MultipartError, "16 headers"),
        (PAIR.replace(b"png", b"p" * 4097), MultipartError, "4096 bytes"),
        (part("align", b"") * 65 + END, MultipartError, "at most 64 parts"),
        (body(under=b"x", over=b"y", third=b"z"), OptionError, "got 'third'"),
        (part("a<b>", b"z") + END, OptionError, "got an unknown one"),
        (part("under", b"x") + part("under", b"y") + END, OptionError, "'under' once"),
        (part("align", b"off") + part("align", b"off") + END, OptionError, "'align' once"),
        (body(align=b"x" * 256), OptionError, "at most 255 bytes for 'align'"),
        (f"--{BOUNDARY}\r\n\r\nx\r\n".encode() + END, MultipartError, "a part without one"),
        (part("", b"x") + END, MultipartError, "a part without one"),
        (coded("Content-Transfer-Encoding: base64"), CodingError, "'under' without"),
        (coded("content-transfer-encoding: Quoted-Printable"), CodingError, "'under' without"),
        (coded("Content-Encoding: gzip"), CodingError, "'under' without"),
        (
            coded("X: y").replace(b"image/png", b"Multipart/Mixed; boundary=x"),
            MediaTypeError,
            "'under', got a nested multipart",
        ),
    ],
)
async def test_a_wrong_form_is_refused(admission, metrics, content, error, sentence):
    with pytest.raises(error, match=sentence):
        await receive(admission, content, step=11)
    assert metrics.upload_bytes._value.get() == 0


@pytest.mark.parametrize(
    ("headers", "error", "sentence"),
    [
        ({"content-length": None}, LengthRequiredError, "got none"),
        ({"content-length": "10001"}, BodyTooLargeError, "got 10001 declared"),
        ({"content-type": "application/json"}, MediaTypeError, "multipart/form-data"),
        ({"content-type": None}, MediaTypeError, "multipart/form-data"),
        ({"content-type": "multipart/form-data"}, MultipartError, "boundary parameter"),
        ({"content-encoding": "gzip"}, CodingError, "without Content-Encoding"),
        ({"content-encoding": "identity, br"}, CodingError, "without Content-Encoding"),
        ({"content-type": "multipart/mixed; boundary=edge"}, MediaTypeError, "form-data"),
        ({"content-type": FORM + "; " * 500}, MultipartError, "at most 1024 bytes"),
        ({"content-type": FORM + "x" * 300}, MultipartError, "at most 256 bytes"),
    ],
)
async def test_a_wrong_head_is_refused(admission, headers, error, sentence):
    with pytest.raises(error, match=sentence):
        await receive(admission, PAIR, headers=headers)


async def test_more_bytes_than_allowed_are_refused_as_they_come(admission, metrics):
    headers = {"content-length": None, "transfer-encoding": "chunked"}
    with pytest.raises(BodyTooLargeError, match="at most 50 bytes"):
        await receive(admission, PAIR, step=10, max_bytes=50, headers=headers)
    assert metrics.upload_bytes._value.get() == 0


async def test_all_bodies_together_have_a_budget(admission):
    with admission.hold_upload() as other:
        other.take(19_900)
        with pytest.raises(QueueFullError):
            await receive(admission, PAIR, step=10)
    assert await receive(admission, PAIR, step=10)


async def test_a_client_that_leaves_half_way_is_noticed(admission, metrics):
    with pytest.raises(DisconnectedError, match="after 40 bytes"):
        await receive(admission, PAIR[:40], step=10, leaves=True)
    assert metrics.upload_bytes._value.get() == 0


@pytest.mark.parametrize("step", [None, 1, 7])
@pytest.mark.parametrize(
    "preamble",
    [b"", b"\r\n", b"\r\n\r\n", b"This is a form.\r\n", b"x --edge y\r\n--edgewise\r\n--edge?\r\n"],
)
async def test_what_comes_before_and_after_the_parts_means_nothing(admission, preamble, step):
    form = await receive(admission, preamble + PAIR + b"The end.\r\n--edge\r\n", step=step)
    assert form.files == [b"dark", b"bright"]


@pytest.mark.parametrize("step", [None, 1])
async def test_white_space_behind_the_first_delimiter_is_taken(admission, step):
    form = await receive(admission, PAIR.replace(b"--edge\r\n", b"--edge \t \r\n", 1), step=step)
    assert form.files == [b"dark", b"bright"]


async def test_a_long_preamble_is_not_kept(admission):
    reader = uploads._Preamble(b"edge")
    for _ in range(100):
        assert reader.feed(b"x--edge" * 1000) is None
    assert len(reader._kept) < 100
    assert reader.feed(b"\r\n--edge\r\nrest") == b"--edge\r\nrest"


@pytest.mark.parametrize(
    "content_type",
    [
        "Multipart/Form-Data; Boundary=edge",
        'multipart/form-data;boundary="edge"',
        "multipart/form-data; charset=utf-8; boundary=edge",
        'multipart/form-data; boundary="edge"; charset=utf-8',
    ],
)
async def test_a_boundary_may_be_told_in_several_ways(admission, content_type):
    form = await receive(admission, PAIR, headers={"content-type": content_type})
    assert form.files == [b"dark", b"bright"]


@pytest.mark.parametrize("boundary", ["two words", "a;b", "(x)+_,-./:=?'y"])
async def test_a_quoted_boundary_may_hold_what_it_likes(admission, boundary):
    headers = {"content-type": f'multipart/form-data; boundary="{boundary}"'}
    form = await receive(admission, PAIR.replace(b"edge", boundary.encode()), headers=headers)
    assert form.files == [b"dark", b"bright"]


@pytest.mark.parametrize(
    "disposition",
    [
        'form-data; name="under"; filename="d\xc3\xa4.jpg"',
        "form-data; name=under; filename*=UTF-8''d%C3%A4.jpg",
        'form-data; filename*=UTF-8\'\'x; filename="over; name=over"; name="under"',
        'Form-Data; Name="under"; filename="C:\\\\a\\"b.jpg"',
        'form-data;name="under"',
    ],
)
async def test_the_name_of_a_part_is_found_whatever_its_file_is_called(admission, disposition):
    old = b'form-data; name="under"'
    form = await receive(admission, PAIR.replace(old, disposition.encode("latin-1"), 1))
    assert form.fields == ["under", "over"]


@pytest.mark.parametrize("coding", ["binary", "8BIT", "7bit", ""])
async def test_a_transfer_coding_that_changes_nothing_is_taken(admission, coding):
    form = await receive(admission, coded(f"Content-Transfer-Encoding: {coding}"))
    assert form.files == [b"dark", b"bright"]


async def test_fields_that_a_page_leaves_empty_are_none(admission):
    unchosen = part("exposures", b"").replace(b'exposures"', b'exposures"; filename=""')
    empty = part("align", b"") + part("quality", b"")
    form = await receive(admission, unchosen + empty + part("align", b"off") + PAIR)
    assert form.fields == ["under", "over"]
    assert form.options == {"align": "off"}


async def test_a_file_without_a_name_is_a_file_where_it_has_bytes(admission):
    content = PAIR.replace(b'under"', b'under"; filename=""')
    assert (await receive(admission, content)).files == [b"dark", b"bright"]
