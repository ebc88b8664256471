"""Shares of callers in a budget, so that none takes all of it before others come."""

from dataclasses import dataclass

CONTENDED = 0.5
"""Use of a budget, as a share of it, up to which it is free for everybody."""


@dataclass(frozen=True, slots=True)
class Budget:
    """A budget and what of it stays for callers who hold little.

    Attributes:
        most: All of it.
        reserve: Its last part, for callers who hold no more than as much.
    """

    most: float
    reserve: float

    def has_share(self, *, used: float, held: float, amount: float, callers: int) -> bool:
        """Whether a caller may have more of it; that there is room at all is another question.

        Up to half of the budget everybody may have more. Above that, a caller with more than the
        reserve may not touch the reserve, nor have more than an equal share of the rest. So one
        caller, a proxy behind which everybody has one address above all, has all but the reserve
        while it is alone. Nobody who holds nothing is refused for the equal share.

        Args:
            used: Of all callers.
            held: Of it by this one.
            amount: What it asks for.
            callers: Callers who hold something, this one included, at least 1.

        Example:
            >>> pixels = Budget(160.0, reserve=20.0)
            >>> pixels.has_share(used=100.0, held=100.0, amount=40.0, callers=1)
            True
            >>> pixels.has_share(used=100.0, held=100.0, amount=50.0, callers=1)
            False
            >>> pixels.has_share(used=140.0, held=0.0, amount=20.0, callers=2)
            True
            >>> pixels.has_share(used=100.0, held=90.0, amount=10.0, callers=2)
            False
        """
        if used == 0 or used + amount <= CONTENDED * self.most or held + amount <= self.reserve:
            return True
        shared = self.most - self.reserve
        if used + amount > shared:
            return False
        return held == 0 or callers == 1 or held + amount <= shared / callers
