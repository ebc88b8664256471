"""Sends files to a running service and takes its picture; the standard library is enough."""

import http.client
import json
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlencode, urlsplit

TIMEOUT_S = 300.0
PAIR_FIELDS = ("under", "over")
STACK_FIELD = "exposures"


class ClientError(Exception):
    """The service refused, failed, or could not be reached; the message is one sentence."""


@dataclass(frozen=True, slots=True)
class Answer:
    """A picture and what the service says about it.

    Attributes:
        picture: Encoded picture.
        weights: Name and version of the weights that fused it.
        alignment: Outcome of the alignment.
        exposure_order: `as-given` or `swapped`; of more than two, their numbers dark to bright.
    """

    picture: bytes
    weights: str
    alignment: str
    exposure_order: str


def fuse_files(
    exposures: Sequence[Path],
    *,
    url: str,
    image_format: str | None = None,
    quality: int | None = None,
    bit_depth: int | None = None,
    subsampling: str | None = None,
    progressive: bool | None = None,
    metadata: str | None = None,
    profile: str | None = None,
    align: str | None = None,
    ghosts: str | None = None,
    crop: str | None = None,
    reference: str | None = None,
    weights: str | None = None,
) -> Answer:
    """Send the exposures of one scene to a running service.

    Args:
        exposures: Their files, two to nine.
        url: Of the service, without a path.
        image_format: Option `format`; None leaves the choice to the service.
        quality: Option `quality`.
        bit_depth: Option `bit_depth`.
        subsampling: Option `subsampling`.
        progressive: Option `progressive`.
        metadata: Option `metadata`.
        profile: Option `profile`.
        align: Option `align`.
        ghosts: Option `ghosts`.
        crop: Option `crop`.
        reference: Option `reference`.
        weights: Option `weights`; None leaves the choice to the service.

    Returns:
        The picture and what the service says about it.

    Raises:
        ClientError: The service cannot be reached, or answers with a problem.
        OSError: A file cannot be read.
    """
    names = PAIR_FIELDS if len(exposures) == len(PAIR_FIELDS) else (STACK_FIELD,) * len(exposures)
    contents = [path.read_bytes() for path in exposures]
    body, content_type = _encode_form(list(zip(names, contents, strict=True)))
    given = {
        "format": image_format,
        "quality": quality,
        "bit_depth": bit_depth,
        "subsampling": subsampling,
        "progressive": None if progressive is None else str(progressive).lower(),
        "metadata": metadata,
        "profile": profile,
        "align": align,
        "ghosts": ghosts,
        "crop": crop,
        "reference": reference,
        "weights": weights,
    }
    query = urlencode({name: value for name, value in given.items() if value is not None})
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or parts.hostname is None:
        raise ClientError(f"expected a URL that begins with http:// or https://, got '{url}'")
    connect = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
    connection = connect(parts.hostname, parts.port, timeout=TIMEOUT_S)
    try:
        connection.request(
            "POST",
            f"{parts.path.rstrip('/')}/fuse{'?' if query else ''}{query}",
            body,
            {"Content-Type": content_type},
        )
        response = connection.getresponse()
        content = response.read()
    except (OSError, http.client.HTTPException) as cause:
        raise ClientError(f"no answer from {parts.netloc}: {cause}") from cause
    finally:
        connection.close()
    if response.status != http.client.OK:
        raise ClientError(_explain(response.status, content))
    return Answer(
        content,
        weights=response.headers.get("X-Expofuse-Weights", ""),
        alignment=response.headers.get("X-Expofuse-Alignment", ""),
        exposure_order=response.headers.get("X-Expofuse-Exposure-Order", ""),
    )


def _encode_form(files: Sequence[tuple[str, bytes]]) -> tuple[bytes, str]:
    boundary = uuid.uuid4().hex
    lines: list[bytes] = []
    for name, content in files:
        disposition = f'Content-Disposition: form-data; name="{name}"; filename="{name}"'
        lines += [f"--{boundary}".encode(), disposition.encode(), b"", content]
    lines += [f"--{boundary}--".encode(), b""]
    return b"\r\n".join(lines), f"multipart/form-data; boundary={boundary}"


def _explain(status: int, content: bytes) -> str:
    try:
        problem = json.loads(content)
        return f"{status}: {problem['title']}: {problem['detail']}"
    except (ValueError, KeyError, TypeError):
        return f"the service answered {status}"
