"""Registrations that only say how exposures lie on each other."""

from model.exposure import StackAlignment
from model.registration import AS_THEY_ARE, Registration


def laid(alignment: StackAlignment | None) -> Registration:
    """Exposures that are warped as an alignment says; None: as they are."""
    return AS_THEY_ARE if alignment is None else Registration(alignment.reference, alignment)
