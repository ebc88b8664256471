"""Chooses the exposures of a stack that are worth fusing, and the one that the others lie on."""

from collections.abc import Mapping

import numpy as np

from model.errors import ExposureError
from model.exposure import ExposureStack, Reference, Useless
from model.ghosts.curves import Proxy
from model.ghosts.proxies import choose_reference_of_proxies, reduce_exposure

SHOWN = (5, 250)
"""Levels outside which a channel shows nothing."""

LEAST_SHOWN = 0.005
"""Share of the picture that an exposure must show."""

DUPLICATE_MEAN, DUPLICATE_WORST = 1.0, 6.0
"""Largest mean and 99.5th percentile of the difference of two exposures that are one."""


def find_useless(stack: ExposureStack, *, wanted: int | None = None) -> Mapping[int, Useless]:
    """Name the exposures that add nothing: fused too, they would only take weight from others.

    At least one exposure is left. Of two that are equal the darker one stays, or the wanted one.

    Args:
        stack: The exposures; small pictures from `reduce_exposure` will do.
        wanted: An exposure that stays in any case, from 0, dark to bright.

    Returns:
        Why each useless exposure is so.

    Example:
        >>> picture = np.arange(48 * 48 * 3, dtype=np.uint8).reshape(48, 48, 3)
        >>> stack = ExposureStack.from_images([picture, picture, picture * 0])
        >>> dict(find_useless(stack))
        {0: 'blank', 2: 'duplicate'}
    """
    proxies = [reduce_exposure(exposure) for exposure in stack.exposures]
    useless: dict[int, Useless] = {}
    for index, proxy in enumerate(proxies):
        if index != wanted and _is_blank(proxy):
            useless[index] = "blank"
    if len(useless) == len(proxies):
        return {}
    for index, proxy in enumerate(proxies):
        for earlier in range(index):
            if index in useless or earlier in useless:
                continue
            if _are_equal(proxies[earlier], proxy):
                useless[earlier if index == wanted else index] = "duplicate"
    return useless


def keep_useful(stack: ExposureStack, useless: Mapping[int, Useless]) -> ExposureStack:
    """The stack without its useless exposures; it may be left with one."""
    kept = [index for index in range(len(stack)) if index not in useless]
    return ExposureStack(
        tuple(stack.exposures[index] for index in kept),
        tuple(stack.order[index] for index in kept),
    )


def find_wanted(stack: ExposureStack, number: int | None) -> int | None:
    """Where the exposure lies that was asked for as the reference.

    Args:
        stack: The exposures.
        number: Its number as given, from 1; None asks for none.

    Raises:
        ExposureError: There is no such exposure.
    """
    if number is None:
        return None
    if not 1 <= number <= len(stack):
        raise ExposureError(f"expected a reference from 1 to {len(stack)}, got {number}")
    return stack.order.index(number - 1)


def choose_reference(stack: ExposureStack, *, default: Reference) -> int:
    """The exposure that stays where it is: the one that shows most of the scene well.

    Args:
        stack: The exposures; small pictures from `reduce_exposure` will do.
        default: The reference of a pair, which its weights prefer.
    """
    if len(stack) <= 2:
        return 0 if default == "under" else len(stack) - 1
    return choose_reference_of_proxies([reduce_exposure(one) for one in stack.exposures])


def _is_blank(proxy: Proxy) -> bool:
    lowest, highest = SHOWN
    is_shown = ((proxy >= lowest) & (proxy <= highest)).any(axis=2)
    return bool(is_shown.mean() < LEAST_SHOWN)


def _are_equal(one: Proxy, other: Proxy) -> bool:
    difference = np.abs(one.astype(np.int16) - other)
    if difference.mean() > DUPLICATE_MEAN:
        return False
    return bool(np.percentile(difference, 99.5) <= DUPLICATE_WORST)
