"""Sends two files to a running service and takes its picture; the standard library is enough."""

import http.client
import json
import uuid
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlencode, urlsplit

TIMEOUT_S = 300.0


class ClientError(Exception):
    """The service refused, failed, or could not be reached; the message is one sentence."""


@dataclass(frozen=True, slots=True)
class Answer:
    """A picture and what the service says about it.

    Attributes:
        picture: Encoded picture.
        weights: Name and version of the weights that fused it.
        alignment: Outcome of the alignment.
        exposure_order: `as-given` or `swapped`.
    """

    picture: bytes
    weights: str
    alignment: str
    exposure_order: str


def fuse_files(
    under: Path,
    over: Path,
    *,
    url: str,
    image_format: str | None = None,
    quality: int | None = None,
    align: str | None = None,
    weights: str | None = None,
) -> Answer:
    """Send two files to a running service.

    Args:
        under: File of the darker exposure.
        over: File of the brighter exposure.
        url: Of the service, without a path.
        image_format: Option `format`; None leaves the choice to the service.
        quality: Option `quality`.
        align: Option `align`.
        weights: Option `weights`; None leaves the choice to the service.

    Returns:
        The picture and what the service says about it.

    Raises:
        ClientError: The service cannot be reached, or answers with a problem.
        OSError: A file cannot be read.
    """
    body, content_type = _encode_form({"under": under.read_bytes(), "over": over.read_bytes()})
    given = {"format": image_format, "quality": quality, "align": align, "weights": weights}
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


def _encode_form(files: dict[str, bytes]) -> tuple[bytes, str]:
    boundary = uuid.uuid4().hex
    lines: list[bytes] = []
    for name, content in files.items():
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
