"""The weights versions that are served, and on which device."""

from dataclasses import dataclass

from model.exposure import Reference


@dataclass(frozen=True, slots=True)
class ServedWeights:
    """One weights version that the worker has loaded.

    Attributes:
        name: Its name.
        version: Its semantic version.
        architecture: Architecture of its network.
        summary: What it is, in a sentence or two; may be empty.
        reference: Exposure onto which the other is warped for it.
        precision: Precision of its network's feature maps.
        is_for_pairs: Of a stack it fuses the darkest and the brightest exposure alone.
        digest: Hash of what decides the picture: parameters, network and rules.
    """

    name: str
    version: str
    architecture: str
    summary: str
    reference: Reference
    precision: str
    is_for_pairs: bool = False
    digest: str = ""

    @property
    def label(self) -> str:
        """Name and version as one word."""
        return f"{self.name}-{self.version}"


@dataclass(frozen=True, slots=True)
class WorkerInfo:
    """What the worker runs, for `/version`, `/weights` and the metrics.

    Attributes:
        weights: Every version that is served, at least one; the first is the default.
        device: `cpu` or `cuda:N`.
    """

    weights: tuple[ServedWeights, ...]
    device: str
