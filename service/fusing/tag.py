"""Names a picture before it is made: by what decides every byte of it."""

import asyncio
import hashlib
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from expofuse.package_version import package_version
from service.fusing.path import Fusion
from service.served_weights import WorkerInfo
from service.settings import JpegCodec

DIGEST_DIGITS = 48
"""Of the 64 of SHA-256, which processors of today compute faster than BLAKE2: 0.7 ms a megabyte."""

_TAGS = re.compile(r'\s*(?:W/)?("[\x21\x23-\x7e\x80-\xff]*")\s*(?:,|$)|\s*,')


@dataclass(frozen=True, slots=True)
class Names:
    """What two requests have in common if they are equal.

    Attributes:
        asked: Digest of what was sent: the exposures, in order and with their fields, the options,
            and how the picture is written. The same whichever weights are loaded.
        entity_tag: Strong tag of the picture, in its quotes: of that, and of what makes it.
    """

    asked: str
    entity_tag: str


async def name_fusion(fusion: Fusion, info: WorkerInfo, jpeg: JpegCodec) -> Names:
    """Name a request and its picture; hashes in a thread, which the event loop does not wait for.

    Args:
        fusion: What is to be fused, its files still there.
        info: On what it is fused.
        jpeg: What reads and writes JPEG files: those of a GPU differ in the last bits, also from
            what the CPU makes of a file at which the GPU fails.
    """
    loop = asyncio.get_running_loop()
    files = await loop.run_in_executor(None, _hash_files, list(fusion.form.files))
    options, weights = fusion.options, fusion.weights
    # `encoding` says in whichever way the format was chosen; the version is named by what it is.
    how = replace(options, format=None, weights=None)
    content = _digest(*files, *fusion.form.fields, repr(how), repr(fusion.encoding))
    made_by = (
        *(package_version(), info.device, jpeg),
        *(weights.label, weights.precision, weights.digest),
    )
    return Names(
        asked=_digest(content, options.weights or ""),
        entity_tag=f'"{_digest(content, *made_by)}"',
    )


def matches(if_none_match: str, entity_tag: str) -> bool:
    """Whether the client has the picture already (RFC 9110, section 13.1.2, weak comparison).

    `*` asks whether the service has any picture, which of a fusion that is not made it has not.

    Args:
        if_none_match: The headers `If-None-Match`, joined by commas.
        entity_tag: Of the picture.

    Example:
        >>> [matches(value, '"a"') for value in ('"a"', 'W/"a"', '"b", "a"', '"b"', "*", "a", "")]
        [True, True, True, False, False, False, False]
    """
    return entity_tag in _read_tags(if_none_match)


def _read_tags(value: str) -> Iterator[str]:
    """The opaque tags of a list; nothing after what is no tag."""
    place = 0
    while place < len(value) and (found := _TAGS.match(value, place)) is not None:
        if found[1] is not None:
            yield found[1]
        place = found.end()


def _hash_files(files: Sequence[bytearray]) -> list[str]:
    return [hashlib.sha256(file).hexdigest() for file in files]


def _digest(*parts: str) -> str:
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:DIGEST_DIGITS]
