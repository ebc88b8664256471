"""Answers `POST /group`: the brackets of a shoot, by what the headers of its files say."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from starlette.requests import ClientDisconnect, Request

from expofuse.errors import MediaTypeError
from expofuse.grouping.frame import ExposureMode, Frame, FrameKind
from expofuse.grouping.group import group_frames
from expofuse.grouping.groups import Groups
from service.errors import (
    BodyTooLargeError,
    DisconnectedError,
    DocumentError,
    QueueFullError,
)

JSON_MEDIA_TYPE = "application/json"
MAX_FRAMES = 2000
"""Files of one shoot; to group so many takes a second of one core."""

MAX_GROUP_BODY_BYTES = 2 * 2**20
MAX_WAITING = 8
"""Shoots that wait for the one that is being grouped; one more is refused at once."""

MAX_TEXT = 128
Known = Annotated[float, Field(ge=1e-9, le=1e9, allow_inf_nan=False)]
"""A measure above nothing, and not so near to it that its parts are lost."""


class FrameFacts(BaseModel):
    """What the header of one file says; what it does not say is left out."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)
    name: str = Field(
        min_length=1, max_length=1024, description="unique: its path in the folder of the shoot"
    )
    kind: FrameKind = Field("picture", description="`raw`: a camera's own file")
    taken_s: Annotated[float, Field(ge=-1e11, le=1e11, allow_inf_nan=False)] | None = Field(
        None, description="what the camera's clock showed, as seconds since 1970 of UTC"
    )
    has_fraction: bool = Field(False, description="`taken_s` is finer than a second")
    exposure_s: Known | None = Field(None, description="exposure time")
    f_number: Known | None = Field(None, description="aperture")
    iso: Known | None = Field(None, description="sensitivity")
    bias_ev: Annotated[float, Field(ge=-100, le=100, allow_inf_nan=False)] | None = Field(
        None, description="exposure compensation"
    )
    mode: ExposureMode | None = Field(None, description="who chose the exposure")
    focal_length_mm: Known | None = Field(None, description="focal length")
    width_px: int = Field(0, ge=0, le=10**6, description="as stored; 0: not known")
    height_px: int = Field(0, ge=0, le=10**6, description="as stored; 0: not known")
    orientation: int = Field(1, ge=1, le=8, description="as in EXIF")
    make: str = Field("", max_length=MAX_TEXT, description="maker of the camera")
    model: str = Field("", max_length=MAX_TEXT, description="its model")
    serial: str = Field("", max_length=MAX_TEXT, description="serial number of its body")

    def to_frame(self) -> Frame:
        """The same as the grouping takes it."""
        return Frame(**self.model_dump())


class Shoot(BaseModel):
    """The files of a shoot, in any order."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)
    frames: list[FrameFacts] = Field(max_length=MAX_FRAMES)
    prefer: FrameKind = Field(
        "picture", description="which of a raw file and the picture beside it is used"
    )


class BracketFound(BaseModel):
    """The files of one scene."""

    files: list[str] = Field(description="two to nine names, in the order in which they were taken")
    reason: str = Field(description="why they belong together, in a few words")


class SingleFound(BaseModel):
    """A file that belongs to no bracket."""

    file: str = Field(description="its name")
    reason: str = Field(description="why it stands alone, in a few words")


class GroupsFound(BaseModel):
    """What a shoot holds: every file in one bracket, or alone; as `expofuse group` writes it."""

    form: Literal["expofuse-groups-1"]
    brackets: list[BracketFound]
    singles: list[SingleFound]


def _describe_shoot() -> dict[str, object]:
    """The schema of a shoot in one piece: references would point outside of it."""
    schema = Shoot.model_json_schema()
    schema["properties"]["frames"]["items"] = schema.pop("$defs")[FrameFacts.__name__]
    return schema


GROUP_OPENAPI: dict[str, object] = {
    "requestBody": {"required": True, "content": {JSON_MEDIA_TYPE: {"schema": _describe_shoot()}}}
}


class Grouping:
    """Groups one shoot at a time, on a thread, so that the event loop goes on meanwhile."""

    def __init__(self) -> None:
        self._turn = asyncio.Lock()
        self._present = 0

    async def answer(self, request: Request) -> GroupsFound:
        """Read a shoot and find its brackets.

        Raises:
            QueueFullError: Others wait for their turn already.
            MediaTypeError: The body is not JSON by its type.
            BodyTooLargeError: It is above its bound.
            DocumentError: It is not of the form of `Shoot`.
            DisconnectedError: The client left.
        """
        with self._counting():
            shoot = read_shoot(await _receive(request))
            async with self._turn:
                groups = await asyncio.to_thread(find_groups, shoot)
        return GroupsFound.model_validate_json(groups.to_json())

    @contextmanager
    def _counting(self) -> Iterator[None]:
        if self._present > MAX_WAITING:
            raise QueueFullError(f"expected at most {MAX_WAITING} shoots that wait to be grouped")
        self._present += 1
        try:
            yield
        finally:
            self._present -= 1


def read_shoot(body: bytes) -> Shoot:
    """Read the body of a request.

    Raises:
        DocumentError: It is not of the form of `Shoot`, or two frames have one name.

    Example:
        >>> read_shoot(b'{"frames": [{"name": "a.jpg", "exposure_s": 0.5}]}').frames[0].exposure_s
        0.5
    """
    try:
        shoot = Shoot.model_validate_json(body)
    except ValidationError as cause:
        first = cause.errors(include_url=False, include_input=False)[0]
        place = ".".join(str(part) for part in first["loc"])
        raise DocumentError(
            f"expected a shoot as /openapi.json describes it, got at {place or 'its start'}: "
            f"{first['msg']}"
        ) from cause
    if len({frame.name for frame in shoot.frames}) < len(shoot.frames):
        raise DocumentError("expected frames of different names, got two of one name")
    return shoot


def find_groups(shoot: Shoot) -> Groups:
    """Find the brackets of a shoot."""
    return group_frames([one.to_frame() for one in shoot.frames], prefer=shoot.prefer)


async def _receive(request: Request) -> bytes:
    media_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if media_type != JSON_MEDIA_TYPE:
        raise MediaTypeError(f"expected a body of {JSON_MEDIA_TYPE}, got another type or none")
    body = bytearray()
    try:
        async for piece in request.stream():
            body += piece
            if len(body) > MAX_GROUP_BODY_BYTES:
                raise BodyTooLargeError(f"expected at most {MAX_GROUP_BODY_BYTES} bytes of JSON")
    except ClientDisconnect as cause:
        raise DisconnectedError("the client left before its body was read") from cause
    return bytes(body)
