"""Reads from `Prefer` how long a client waits for its answer (RFC 7240)."""

import re
from collections.abc import Sequence

_ITEMS = re.compile(r'(?:[^,"]|"(?:[^"\\]|\\.)*"?)+')
_WAIT = re.compile(r'wait\s*=\s*(?:"([0-9]{1,9})"|([0-9]{1,9}))', re.IGNORECASE)


def read_wait_s(values: Sequence[str]) -> int | None:
    """Seconds of the preference `wait`; None where there is none, or none that can be read.

    Of several the first counts, and parameters of a preference are not looked at (section 2).

    Args:
        values: Of each header `Prefer`.

    Example:
        >>> read_wait_s(["respond-async, wait=10", "wait=3"]), read_wait_s(['Wait = "7"; x=1'])
        (10, 7)
        >>> read_wait_s([]), read_wait_s(["wait=soon"]), read_wait_s(["handling=lenient"])
        (None, None, None)
    """
    for value in values:
        for item in _ITEMS.findall(value):
            preference = item.partition(";")[0].strip()
            if preference.partition("=")[0].strip().lower() == "wait":
                found = _WAIT.fullmatch(preference)
                return None if found is None else int(found[1] or found[2])
    return None
