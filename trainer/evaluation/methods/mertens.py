"""Fuses by OpenCV's Mertens: as the exposures are, aligned as the service does, or by OpenCV."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import cv2

from expofuse.files.pixels import to_8_bit
from model.exposure import Pixels
from model.selection import choose_reference
from trainer.evaluation.methods.weights import hash_model_code
from trainer.evaluation.pictures import Picture
from trainer.evaluation.scenes import EvaluationScene, Sources
from trainer.mertens import fuse_as_mertens


@dataclass(frozen=True, slots=True)
class MertensMethod:
    """OpenCV's exposure fusion with its default weights; it takes 8 bits.

    Attributes:
        label: See `Method.label`.
        alignment: `off` takes the exposures as they are, `service` lays them on each other as the
            service does, `mtb` as OpenCV does.

    Reference:
        Mertens, Kautz and Van Reeth, "Exposure fusion", Pacific Graphics, 2007.
    """

    label: str = "mertens"
    alignment: Literal["off", "service", "mtb"] = "off"

    def applies_to(self, scene: EvaluationScene) -> bool:
        """See `Method.applies_to`."""
        return True

    def fingerprint(self, scene: EvaluationScene) -> str:
        """See `Method.fingerprint`."""
        version = f"OpenCV {cv2.__version__} MergeMertens"
        match self.alignment:
            case "off":
                return version
            case "service":
                return f"{version} {hash_model_code()}"
            case "mtb":
                return f"{version} AlignMTB"

    def fuse(self, sources: Sources) -> Pixels:
        """See `Method.fuse`."""
        stack = sources.exposures
        if self.alignment == "service":
            stack = sources.move(choose_reference(stack, default="over"))
        exposures = [to_8_bit(one) for one in stack.exposures]
        return fuse_as_mertens(align_by_mtb(exposures) if self.alignment == "mtb" else exposures)


def align_by_mtb(exposures: Sequence[Picture]) -> list[Picture]:
    """Shift exposures onto the middle one with OpenCV's default settings.

    Pictures keep their size; what an exposure does not cover is black in it. OpenCV's crop to what
    all cover does not reach a caller from Python, whose arrays keep their size.

    Args:
        exposures: Dark to bright. Shape (H, W, 3) each.

    Returns:
        The exposures, shifted by at most 63 whole pixels in either direction.

    Reference:
        Ward, "Fast, robust image registration for compositing high dynamic range photographs from
        hand-held exposures", Journal of Graphics Tools 8(2), 2003, as OpenCV's AlignMTB.
    """
    shifted = [exposure.copy() for exposure in exposures]
    cv2.createAlignMTB(cut=False).process(list(exposures), shifted)
    return shifted
