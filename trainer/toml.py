"""TOML files that people write: read, checked against a model, and refused with the place."""

import tomllib
from pathlib import Path
from typing import TypeVar

from pydantic import BaseModel, ValidationError

from trainer.errors import ConfigError

TomlTable = dict[str, "TomlValue"]
TomlValue = str | int | float | bool | list["TomlValue"] | TomlTable

Model = TypeVar("Model", bound=BaseModel)


def read_toml(path: Path, *, what: str) -> TomlTable:
    """Read a TOML file.

    Args:
        path: The file.
        what: What it is, for the message that it is not there.

    Raises:
        ConfigError: There is no such file, or it is not TOML.
    """
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as cause:
        raise ConfigError(f"expected {what} '{path.name}', found none") from cause
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as cause:
        raise ConfigError(f"'{path.name}' is not TOML: {cause}") from cause


def check_table(model: type[Model], table: TomlTable, *, name: str) -> Model:
    """Check a table against the model of what it should be.

    Args:
        model: The model.
        table: What was read.
        name: Name of the file, for the message.

    Raises:
        ConfigError: An unknown key, or a value that is not allowed; the message names the key.
    """
    try:
        return model.model_validate(table)
    except ValidationError as cause:
        first = cause.errors(include_url=False)[0]
        where = ".".join(str(part) for part in first["loc"]) or "document"
        raise ConfigError(f"'{name}', key '{where}': {first['msg']}") from cause
