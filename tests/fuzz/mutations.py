"""Changes bytes as hypothesis draws them: parts cut out, doubled, moved, overwritten, put in."""

import itertools

from hypothesis import strategies as st

TOKENS = (
    b"\r\n", b"\n", b"\r", b"\r\n\r\n", b"\n\n", b"\x00", b" ", b"\t", b":", b";", b"--", b'"',
    b"\\", b"0\r\n\r\n", b"-1", b"99999999999999999999", b"\xff", b"\x80", b"%00", b"chunked",
    b"Content-Length: 3\r\n", b"Transfer-Encoding: chunked\r\n", b"HTTP/1.1",
    b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n",
)  # fmt: skip
"""What means something to one parser or the other."""

MOST_CHANGES = 4


@st.composite
def mutated(draw, data: bytes) -> bytes:
    """The same with one to four changes, each at a place of its own."""
    for _ in range(draw(st.integers(1, MOST_CHANGES))):
        begin = draw(st.integers(0, len(data)))
        end = min(len(data), begin + draw(st.sampled_from((0, 1, 2, 7, 40, 400))))
        kind = draw(st.sampled_from(("cut out", "put in", "double", "overwrite", "cut off")))
        if kind == "cut out":
            data = data[:begin] + data[end:]
        elif kind == "put in":
            data = data[:begin] + draw(st.sampled_from(TOKENS)) + data[begin:]
        elif kind == "double":
            data = data[:end] + data[begin:]
        elif kind == "overwrite":
            data = data[:begin] + draw(st.sampled_from(TOKENS)) + data[end:]
        else:
            data = data[: max(1, begin)]
    return data


@st.composite
def pieces(draw, data: bytes) -> tuple[bytes, ...]:
    """The same in one to five writes."""
    cuts = sorted({draw(st.integers(0, len(data))) for _ in range(draw(st.integers(0, 4)))})
    bounds = [0, *cuts, len(data)]
    found = (data[begin:end] for begin, end in itertools.pairwise(bounds))
    return tuple(piece for piece in found if piece)
