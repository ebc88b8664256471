"""What a person says about a weights version: one TOML file, copied into its manifest.

It is given when a version is exported or its card is written, not in the training config: what a
version is good for and where it fails is known only when it has been looked at.
"""

from pathlib import Path

from pydantic import BaseModel, ConfigDict

from model.manifest import Manifest
from trainer.toml import check_table, read_toml


class Description(BaseModel):
    """The texts of a manifest that are written by hand; what is left out stays as it was.

    Attributes:
        summary: What the weights are, in a sentence or two.
        intended_use: What they are for, and what they are not for.
        limits: What is known to go wrong, a sentence each.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)
    summary: str | None = None
    intended_use: str | None = None
    limits: tuple[str, ...] | None = None


def load_description(path: Path) -> Description:
    """Read the texts.

    Raises:
        ConfigError: No such file, no TOML, an unknown key or a value of another type.
    """
    return check_table(Description, read_toml(path, what="the texts in"), name=path.name)


def apply_description(manifest: Manifest, description: Description) -> Manifest:
    """The manifest with these texts."""
    return manifest.model_copy(update=description.model_dump(exclude_none=True))
