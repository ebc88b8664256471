"""What a service says of itself: its bounds, and whether it is ready."""

from dataclasses import dataclass

from pydantic import BaseModel, ConfigDict, Field


class Limits(BaseModel):
    """What of the bounds a client can heed before it sends; others are in `model_extra`."""

    model_config = ConfigDict(extra="allow", frozen=True)
    max_body_bytes: int = Field(description="bytes of one request's body")
    max_megapixels: float = Field(description="megapixels of one image")
    max_side_px: int = Field(description="longer side of one image, in pixels")
    min_side_px: int = Field(description="shorter side of one image, at least, in pixels")
    deadline_s: float = Field(description="seconds from a request's first byte to its answer")
    retry_after_s: int = Field(description="seconds that a refused client is asked to wait")


@dataclass(frozen=True, slots=True)
class ReadyState:
    """Whether requests should go to a service; as true as it is ready.

    Attributes:
        is_ready: It is.
        reason: Why it is not; empty where it is.
    """

    is_ready: bool
    reason: str = ""

    def __bool__(self) -> bool:
        """Whether it is ready."""
        return self.is_ready
