"""What a person says about a weights version: one TOML file, copied into its manifest.

It is given when a version is exported or its card is written, not in the training config: what a
version is good for and where it fails is known only when it has been looked at.
"""

import tomllib
from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError

from model.manifest import Manifest
from trainer.errors import ConfigError


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
    try:
        return Description.model_validate(tomllib.loads(path.read_text(encoding="utf-8")))
    except OSError as cause:
        raise ConfigError(f"expected the texts in '{path.name}', found none") from cause
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as cause:
        raise ConfigError(f"'{path.name}' is not TOML: {cause}") from cause
    except ValidationError as cause:
        first = cause.errors(include_url=False)[0]
        where = ".".join(str(part) for part in first["loc"])
        raise ConfigError(f"'{path.name}', key '{where}': {first['msg']}") from cause


def apply_description(manifest: Manifest, description: Description) -> Manifest:
    """The manifest with these texts."""
    return manifest.model_copy(update=description.model_dump(exclude_none=True))
