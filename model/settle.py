"""Makes decoded pictures fit to be exposures: one stance, and nothing transparent."""

from collections.abc import Sequence

from model.alignment.sizes import MakeRoom, make_array
from model.exposure import ExposureSet, Pixels, Reference
from model.ghosts.proxies import reduce_exposure
from model.selection import choose_reference
from model.stance import find_stances, turn
from model.transparency import Transparency, fill_transparent


def settle_images(
    images: Sequence[Pixels],
    orientations: Sequence[int],
    transparent: Sequence[Transparency | None],
    *,
    wanted: int | None = None,
    default: Reference = "over",
    make_room: MakeRoom = make_array,
) -> list[Pixels]:
    """Turn exposures as their reference lies, and fill what is transparent in them.

    Args:
        images: RGB images as given, upright by their own tags. Shape (H, W, 3) each, uint8 or
            uint16. What is transparent is filled in place; doing so twice changes nothing more.
        orientations: The EXIF orientation that each was turned by, 1 to 8.
        transparent: Where each is transparent, upright by its own tag; None where nowhere.
        wanted: Number of the exposure that is the reference, from 1; None leaves the choice.
        default: Of a pair, the exposure that is then chosen, see `choose_reference`.
        make_room: What gives the arrays for images that are turned.

    Returns:
        The images, or what they were turned to.

    Raises:
        ExposureError: See `ExposureSet.from_images` and `fill_transparent`.
    """
    settled, masks = list(images), list(transparent)
    if len(set(orientations)) > 1:
        reference = _find_reference(images, wanted, default)
        stances = find_stances(images, orientations, reference=reference)
        for index, (orientation, stance) in enumerate(zip(orientations, stances, strict=True)):
            if orientation != stance:
                turned = turn(images[index], orientation, stance)
                settled[index] = make_room(index, turned.shape, turned.dtype)
                settled[index][...] = turned
                mask = masks[index]
                masks[index] = None if mask is None else turn(mask, orientation, stance)
    fill_transparent(settled, masks)
    return settled


def _find_reference(images: Sequence[Pixels], wanted: int | None, default: Reference) -> int:
    if wanted is not None and wanted <= len(images):
        return wanted - 1
    given = ExposureSet.from_images(images)
    small = ExposureSet(tuple(reduce_exposure(one) for one in given.exposures), given.order)
    return given.order[choose_reference(small, default=default)]
