"""The table of loss terms: every module in `trainer.losses.terms` declares one."""

import pkgutil
from importlib import import_module

from trainer.losses import terms
from trainer.losses.term import LossTerm


def _collect() -> tuple[LossTerm, ...]:
    """The `TERM` of each module in the folder, in the order of their positions.

    Raises:
        TypeError: A module declares none.
        ValueError: Two terms share a key, a name in the curves or a position.
    """
    found: list[LossTerm] = []
    for module in pkgutil.iter_modules(terms.__path__, f"{terms.__name__}."):
        term = getattr(import_module(module.name), "TERM", None)
        if not isinstance(term, LossTerm):
            raise TypeError(f"expected a LossTerm named TERM in '{module.name}', got {term!r}")
        found.append(term)
    for what in ("key", "name", "position"):
        values = [getattr(term, what) for term in found]
        twice = sorted({str(value) for value in values if values.count(value) > 1})
        if twice:
            raise ValueError(f"expected each {what} of a loss term once, got {', '.join(twice)}")
    return tuple(sorted(found, key=lambda term: term.position))


TERMS = _collect()
"""All terms, in the order in which they are summed."""
