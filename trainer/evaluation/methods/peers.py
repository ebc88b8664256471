"""Takes the published pictures of other people's methods as they are."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

from model.exposure import Pixels
from trainer.evaluation.pictures import fit_to, read_picture, read_profile
from trainer.evaluation.scenes import EvaluationScene, Sources


@dataclass(frozen=True, slots=True)
class PeerMethod:
    """Published pictures of one method, brought to the size and the colours of the scene.

    A picture without a profile, of exposures that carry one, was computed on their values as they
    are stored: it is taken to have the exposures' profile, and converted with it as they are.
    """

    label: str

    def applies_to(self, scene: EvaluationScene) -> bool:
        """See `Method.applies_to`."""
        return self.label in scene.peer_paths

    def fingerprint(self, scene: EvaluationScene) -> str:
        """See `Method.fingerprint`."""
        content = hashlib.sha256(scene.peer_paths[self.label].read_bytes()).hexdigest()
        return f"{content} in the exposures' profile"

    def fuse(self, sources: Sources) -> Pixels:
        """See `Method.fuse`."""
        stack, paths = sources.exposures, sources.scene
        profile = read_profile(paths.exposure_paths[0])
        fused = read_picture(paths.peer_paths[self.label], untagged=profile)
        return fit_to(fused, stack.height, stack.width)


def list_peers(scenes: Sequence[EvaluationScene]) -> list[PeerMethod]:
    """Every method of which at least one scene has a published picture, by name."""
    return [
        PeerMethod(name) for name in sorted({name for scene in scenes for name in scene.peer_paths})
    ]
