"""Tells which version of the package is installed."""

from importlib.metadata import PackageNotFoundError, version


def package_version() -> str:
    """Version of the installed package; `0` in a checkout that was never installed."""
    try:
        return version("expofuse")
    except PackageNotFoundError:
        return "0"
