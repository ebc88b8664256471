"""The JSON that the service answers, and the OpenAPI description of its one form."""

from typing import Literal

from pydantic import BaseModel, Field

from service.options import DEFAULT_QUALITY, MAX_QUALITY, MEDIA_TYPES, MIN_QUALITY
from service.settings import LimitSettings


class Health(BaseModel):
    """The process answers."""

    status: Literal["ok"] = "ok"


class Readiness(BaseModel):
    """The device worker is alive and warmed up, and the service is not draining."""

    status: Literal["ready"] = "ready"


class WeightsVersion(BaseModel):
    """Which weights are served."""

    name: str
    version: str


class Version(BaseModel):
    """What runs here, and on what."""

    service: str = Field(description="version of the service")
    weights: WeightsVersion
    device: str = Field(description="`cpu` or `cuda:N`")
    precision: str = Field(description="precision of the network")


class Limits(LimitSettings):
    """Every bound of the service; none can be raised by a request."""

    min_side_px: int = Field(description="shorter side of one image, at least, in pixels")
    max_option_bytes: int = Field(description="bytes of one option's value")
    max_running_jobs: int = Field(description="jobs that share the device at one time")
    codec_timeout_s: float = Field(description="seconds of one decoding, alignment or encoding")
    codec_memory_bytes: int = Field(description="memory of one codec call")


_OPTION_SCHEMAS: dict[str, dict[str, object]] = {
    "format": {
        "type": "string",
        "enum": list(MEDIA_TYPES),
        "description": "format of the answer; default: by Accept, else the format of `under`",
    },
    "quality": {
        "type": "integer",
        "minimum": MIN_QUALITY,
        "maximum": MAX_QUALITY,
        "default": DEFAULT_QUALITY,
        "description": "of JPEG and WebP",
    },
    "align": {
        "type": "string",
        "enum": ["auto", "off", "require"],
        "default": "auto",
        "description": "`auto` falls back to no alignment, `require` refuses with 422 instead",
    },
}
_IMAGE_SCHEMA = {"type": "string", "format": "binary", "description": "JPEG, PNG, WebP or TIFF"}

FUSE_OPENAPI: dict[str, object] = {
    "parameters": [
        {"name": name, "in": "query", "required": False, "schema": schema}
        for name, schema in _OPTION_SCHEMAS.items()
    ],
    "requestBody": {
        "required": True,
        "content": {
            "multipart/form-data": {
                "schema": {
                    "type": "object",
                    "required": ["under", "over"],
                    "additionalProperties": False,
                    "properties": {
                        "under": _IMAGE_SCHEMA,
                        "over": _IMAGE_SCHEMA,
                        **_OPTION_SCHEMAS,
                    },
                }
            }
        },
    },
}
