"""Holds what one examination found."""

from dataclasses import dataclass
from typing import Literal

State = Literal["well", "note", "wrong"]
"""Nothing to do; something that may be missed or may be meant so; something that must be mended."""


@dataclass(frozen=True, slots=True)
class Finding:
    """What one examination found.

    Attributes:
        name: What was examined.
        state: How it is.
        found: What is there.
        advice: How to mend it; empty where nothing is to be done.
    """

    name: str
    state: State
    found: str
    advice: str = ""

    def describe(self) -> dict[str, str]:
        """As JSON says it."""
        told = {"name": self.name, "state": self.state, "found": self.found}
        return told | ({"advice": self.advice} if self.advice else {})
