"""Finds the API key with which a service is asked."""

import os
from collections.abc import Mapping
from pathlib import Path

API_KEY_VARIABLE = "EXPOFUSE_API_KEY"
API_KEY_FILE_VARIABLE = "EXPOFUSE_API_KEY_FILE"


def find_api_key(environment: Mapping[str, str] = os.environ) -> str | None:
    """The key that the environment holds, or the file that it names; None where there is none.

    Raises:
        OSError: The file cannot be read.
    """
    key = environment.get(API_KEY_VARIABLE, "").strip()
    if key:
        return key
    path = environment.get(API_KEY_FILE_VARIABLE)
    return Path(path).read_text(encoding="utf-8").strip() or None if path else None


def write_authorization(key: str) -> str:
    """The value of the header `Authorization` (RFC 6750, section 2.1).

    Raises:
        ValueError: The key has characters that no header takes; it is not told which.

    Example:
        >>> write_authorization("xpf_abc")
        'Bearer xpf_abc'
    """
    if not key or not key.isascii() or not key.isprintable() or " " in key:
        raise ValueError("expected an API key of visible ASCII characters, got another")
    return f"Bearer {key}"
