"""Fills in the JSON answers, and describes the form of `POST /fuse` in OpenAPI."""

from collections.abc import Mapping, Sequence
from typing import Literal

from pydantic import BaseModel, Field

from expofuse.answers import LoadedVersion, Weights
from expofuse.files.formats import DEFAULT_QUALITY
from expofuse.files.headers.sniff import READ_FORMATS
from model.exposure import MAX_EXPOSURES, MIN_EXPOSURES
from service.fusing.options import (
    AUTO,
    BIT_DEPTHS,
    FORMAT_ALIASES,
    MAX_QUALITY,
    MEDIA_TYPES,
    METADATA_MODES,
    MIN_QUALITY,
    PROFILE_MODES,
    SUBSAMPLINGS,
    list_weights_names,
)
from service.fusing.told import CACHE_HEADER, TOLD_HEADERS
from service.problems import REQUEST_ID_DESCRIPTION, describe_header
from service.request_record import Stage
from service.served_weights import ServedWeights
from service.settings import LimitSettings


def describe_loaded(served: Sequence[ServedWeights]) -> list[LoadedVersion]:
    """The versions as the service tells of them.

    Args:
        served: The loaded versions, the default first.
    """
    return [
        LoadedVersion(
            name=one.name,
            version=one.version,
            label=one.label,
            architecture=one.architecture,
            summary=one.summary,
            precision=one.precision,
            is_default=index == 0,
        )
        for index, one in enumerate(served)
    ]


def describe_weights(served: Sequence[ServedWeights]) -> Weights:
    """What may be asked for.

    Args:
        served: The loaded versions, the default first.
    """
    return Weights(
        default=served[0].label,
        loaded=describe_loaded(served),
        names={name: one.label for name, one in list_weights_names(served).items()},
    )


class Limits(LimitSettings):
    """Every bound of the service; none can be raised by a request."""

    min_exposures: int = Field(description="exposures of one scene, at least")
    max_exposures: int = Field(description="exposures of one scene, at most")
    min_side_px: int = Field(description="shorter side of one image, at least, in pixels")
    max_option_bytes: int = Field(description="bytes of one option's value")
    max_content_type_bytes: int = Field(description="bytes of the header Content-Type")
    max_parts: int = Field(description="parts of one form")
    max_part_headers: int = Field(description="headers of one part of a form")
    max_part_header_bytes: int = Field(description="bytes of one header of a part")
    max_group_frames: int = Field(description="files of one shoot at `POST /group`")
    max_group_body_bytes: int = Field(description="bytes of the body of `POST /group`")
    max_running_jobs: int = Field(description="jobs that share the device at one time")
    codec_timeout_s: float = Field(description="seconds of one decoding, alignment or encoding")
    codec_memory_bytes: int = Field(description="memory of one codec call")


class RequestProgress(BaseModel):
    """How far a request to `POST /fuse` is."""

    stage: Stage | Literal["send", "none"] = Field(
        description="what is being done; `send`: the picture is ready and on its way; `none`: no "
        "request of this id is being answered: it has not arrived, or it is over"
    )
    place: int = Field(
        0, description="which of the jobs that wait for the device it is, from 1; 0: of none"
    )
    elapsed_s: float = Field(0.0, description="seconds since its first byte")
    stages_ms: dict[Stage, float] = Field(
        {}, description="milliseconds of the stages that are over"
    )


PROGRESS_OPENAPI: dict[str, object] = {
    "parameters": [
        {
            "name": "request_id",
            "in": "path",
            "required": True,
            "schema": {"type": "string"},
            "description": "as it was sent in `X-Request-Id`",
        }
    ]
}

_OPTION_SCHEMAS: dict[str, dict[str, object]] = {
    "format": {
        "type": "string",
        "enum": [*MEDIA_TYPES, *FORMAT_ALIASES],
        "description": "format of the answer, in any case; default: by Accept, else that of the "
        "first exposure",
    },
    "quality": {
        "type": "integer",
        "minimum": MIN_QUALITY,
        "maximum": MAX_QUALITY,
        "default": DEFAULT_QUALITY,
        "description": "of JPEG, WebP, AVIF and JPEG XL, which loses nothing at 100",
    },
    "bit_depth": {
        "type": "string",
        "enum": list(BIT_DEPTHS),
        "default": AUTO,
        "description": "bits of a sample; `auto`: those of the exposures, or the most that the "
        "format holds. PNG, TIFF and JPEG XL hold 8 and 16, AVIF 8 and 10, JPEG and WebP 8",
    },
    "subsampling": {
        "type": "string",
        "enum": list(SUBSAMPLINGS),
        "default": "auto",
        "description": "of the chroma of JPEG and AVIF; `auto`: `444` from quality 90 on",
    },
    "progressive": {
        "type": "boolean",
        "default": False,
        "description": "a JPEG that shows itself coarse first",
    },
    "metadata": {
        "type": "string",
        "enum": list(METADATA_MODES),
        "default": "keep",
        "description": "`keep` writes the EXIF block of the reference exposure, `no-gps` without "
        "the place, `strip` none",
    },
    "profile": {
        "type": "string",
        "enum": list(PROFILE_MODES),
        "default": "srgb",
        "description": "`keep` brings the picture to the colour profile of the reference exposure",
    },
    "align": {
        "type": "string",
        "enum": ["auto", "off", "require"],
        "default": "auto",
        "description": "`auto` falls back to no alignment, `require` refuses with 422 instead",
    },
    "ghosts": {
        "type": "string",
        "enum": ["auto", "off"],
        "default": "auto",
        "description": "`auto` replaces what moved by what the reference exposure shows",
    },
    "crop": {
        "type": "string",
        "enum": ["none", "common"],
        "default": "none",
        "description": "`common` cuts the picture to the largest rectangle that all exposures "
        "cover",
    },
    "reference": {
        "type": "string",
        "default": AUTO,
        "pattern": "^(auto|[1-9])?$",
        "description": "exposure that stays where it is, and whose size the picture has: its "
        "number as sent, from 1; `under` is 1",
    },
    "weights": {
        "type": "string",
        "description": "weights version that fuses, one of `names` at `GET /weights`: "
        "`name-x.y.z`, or `name` for the highest version loaded; default: `default` there",
    },
}


def _allow_empty(schema: dict[str, object]) -> dict[str, object]:
    """The schema of an option with the empty value, which forms send where none is chosen."""
    choices, kind = schema.get("enum"), schema["type"]
    if isinstance(choices, list):
        return schema | {"enum": [*choices, ""]}
    return schema if kind == "string" else schema | {"type": [kind, "string"], "pattern": "^$"}


_GIVEN_OPTIONS = {name: _allow_empty(schema) for name, schema in _OPTION_SCHEMAS.items()}
_PICTURE_SCHEMA = {"type": "string", "format": "binary"}
_IMAGE_SCHEMA = {"type": "string", "format": "binary", "description": ", ".join(READ_FORMATS)}


def _describe_picture(told: Mapping[str, str]) -> dict[str, object]:
    headers = {**told, "X-Request-Id": REQUEST_ID_DESCRIPTION}
    return {
        "description": "the fused picture",
        "headers": {name: describe_header(meaning) for name, meaning in headers.items()},
        "content": {media_type: {"schema": _PICTURE_SCHEMA} for media_type in MEDIA_TYPES.values()},
    }


FUSED_RESPONSE = _describe_picture(TOLD_HEADERS)
STORED_RESPONSE = _describe_picture(
    {name: meaning for name, meaning in TOLD_HEADERS.items() if name != CACHE_HEADER}
)
"""That of a job: its picture was made for it."""

NOT_MODIFIED_RESPONSE: dict[str, object] = {
    "description": "the client has the picture, as its `If-None-Match` says",
    "headers": {"ETag": describe_header(TOLD_HEADERS["ETag"])},
}


def describe_form(
    more: dict[str, dict[str, object]], headers: dict[str, dict[str, object]]
) -> dict[str, object]:
    """What a route takes that takes the exposures of one scene, for its OpenAPI description.

    Args:
        more: Schemas of its options beside those of `POST /fuse`.
        headers: Request headers that it reads, with their schema and what they mean.
    """
    options = _GIVEN_OPTIONS | more
    form = {
        "type": "object",
        "oneOf": [{"required": ["under", "over"]}, {"required": ["exposures"]}],
        "additionalProperties": False,
        "properties": {
            "under": _IMAGE_SCHEMA,
            "over": _IMAGE_SCHEMA,
            "exposures": {
                "type": "array",
                "items": _IMAGE_SCHEMA,
                "minItems": MIN_EXPOSURES,
                "maxItems": MAX_EXPOSURES,
                "description": "instead of `under` and `over`: the exposures of one scene in any "
                "order, the field repeated",
            },
            **options,
        },
    }
    return {
        "parameters": [
            *(
                {"name": name, "in": "query", "required": False, "schema": schema}
                for name, schema in options.items()
            ),
            *(
                {"name": name, "in": "header", "required": False, **described}
                for name, described in headers.items()
            ),
        ],
        "requestBody": {"required": True, "content": {"multipart/form-data": {"schema": form}}},
    }


IDEMPOTENCY_HEADER: dict[str, dict[str, object]] = {
    "Idempotency-Key": {
        # In quotes it may hold spaces too.
        "schema": {"type": "string", "pattern": "^[!#-~]{1,255}$"},
        "description": "names the request: repeated with its key it is not done twice",
    },
}
FUSE_OPENAPI = describe_form(
    {},
    {
        "If-None-Match": {
            "schema": {"type": "string"},
            "description": "entity tags of pictures that the client has; one that matches is "
            "answered with 304, without a fusion",
        },
        **IDEMPOTENCY_HEADER,
    },
)
