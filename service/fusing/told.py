"""Says in the headers of an answer how its picture came about."""

from collections.abc import Sequence

from model.describe import (
    describe_alignment,
    describe_frame,
    describe_order,
    describe_unused,
)
from model.exposure import GhostsMode
from service.codec.messages import DecodedImage, StackFound
from service.fusing.options import FuseOptions
from service.served_weights import ServedWeights

CACHE_HEADER = "X-Expofuse-Cache"
TOLD_HEADERS = {
    "X-Expofuse-Weights": "name and version of the weights that fused the picture",
    "X-Expofuse-Alignment": "`off`, `identity`, `homography` or `refused`; of a pair with the "
    "figures or the reason, of more with what became of each exposure",
    "X-Expofuse-Exposure-Order": "of a pair `swapped` or `as-given`, of more their numbers as "
    "sent, dark to bright",
    "X-Expofuse-Reference": "number of the exposure, as sent, that stayed where it is",
    "X-Expofuse-Frame": "what all exposures cover, as `left,top,width,height` in pixels of the "
    "picture before it is cropped; `none` where they share nothing",
    "X-Expofuse-Unused": "exposures that the picture is not made of, by their number as sent, and "
    "why: `blank`, `duplicate`, `surplus`; else `none`",
    "X-Expofuse-Ghosts": "`auto` or `off`, and the share of the picture in which an exposure was "
    "replaced by what others show",
    "X-Expofuse-Dropped": "what files held beside their picture, by exposure, or `none`",
    "Server-Timing": "milliseconds of each stage",
    "ETag": "names the picture: by the exposures, the options, the weights and the service",
    CACHE_HEADER: "`miss`: fused for this request; `hit`: it was kept; `shared`: fused for "
    "an equal request at the same time",
}
"""What the headers of an answer mean that holds a picture."""


def tell_fusion(
    options: FuseOptions,
    weights: ServedWeights,
    images: Sequence[DecodedImage],
    found: StackFound,
) -> dict[str, str]:
    """The headers of an answer that are about its picture.

    Args:
        options: Of the request.
        weights: What fused it.
        images: The exposures as they were sent and decoded.
        found: Which exposures were fused, and how they were put together.
    """
    return {
        "X-Expofuse-Weights": weights.label,
        "X-Expofuse-Exposure-Order": describe_order(found.order),
        "X-Expofuse-Unused": describe_unused(
            found.useless, found.used, is_for_pairs=weights.is_for_pairs
        ),
        "X-Expofuse-Reference": str(found.used[found.reference] + 1),
        "X-Expofuse-Alignment": describe_alignment(found.alignment, found.used),
        "X-Expofuse-Frame": describe_frame(found.frame),
        "X-Expofuse-Ghosts": _describe_ghosts(options.ghosts, found),
        "X-Expofuse-Dropped": _describe_dropped(images),
    }


def _describe_dropped(images: Sequence[DecodedImage]) -> str:
    """What files held beside their picture, by the number of the exposure."""
    dropped = [
        f"{number}={'+'.join(one.replace(' ', '-') for one in image.metadata.dropped)}"
        for number, image in enumerate(images, start=1)
        if image.metadata.dropped
    ]
    return "; ".join(dropped) or "none"


def _describe_ghosts(mode: GhostsMode, found: StackFound) -> str:
    """Whether ghosts were sought, and the share of the picture in which something was replaced.

    Also without ghosts an edge that only the reference covers is replaced.
    """
    return f"{mode}; replaced={found.replaced_share:.4f}"
