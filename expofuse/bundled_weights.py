"""Finds weights versions: those that are installed with the package, and any folder."""

from pathlib import Path

PACKAGED_WEIGHTS_DIR = Path(__file__).resolve().parents[1] / "weights"
"""Beside the packages: in a checkout, in an editable install and in what a wheel installs."""

DEFAULT_WEIGHTS = "pyramid-blend-2.1.0"


def locate_weights(version: str, weights_dir: Path = PACKAGED_WEIGHTS_DIR) -> Path:
    """The directory of a weights version: a path as given, or a name looked up.

    Args:
        version: A path if it has a `/`, else `name-version`.
        weights_dir: Where names are looked up.

    Example:
        >>> locate_weights("net-1.0.0", Path("/data")).as_posix(), locate_weights("./net").name
        ('/data/net-1.0.0', 'net')
    """
    return Path(version) if "/" in version else weights_dir / version
