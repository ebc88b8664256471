"""Finds the service of this machine: a command asks it where no other one is named."""

import os

DEFAULT_PORT = "8000"


def find_own_url() -> str:
    """URL of the service that the environment describes.

    Example:
        >>> find_own_url().rpartition(":")[0] in ("http://127.0.0.1", "https://127.0.0.1")
        True
    """
    scheme = "https" if os.environ.get("EXPOFUSE_TLS__CERTIFICATE") else "http"
    return f"{scheme}://127.0.0.1:{os.environ.get('EXPOFUSE_PORT') or DEFAULT_PORT}"
