"""Counts the processes that ended at a piece of work, and says when the work is the cause."""

from dataclasses import dataclass

from service.processes.child_end import ChildEnd

MAX_OWN_ENDS = 2
"""With so many ends by the process's own doing while it was alone there it is the cause; one of
them, a device that is lost or a damaged page, may meet sound work."""

MAX_ENDS_ALONE = 8
"""With so many ends of any kind while it was alone it is the cause. Whoever kills processes now and
then does not meet one piece of work so often; work that makes memory run out does."""

MAX_SHARED_ENDS = 2
"""Ends from outside after which it runs alone, in case that it is the cause after all; after
one by the process's own doing it does at once."""


@dataclass(slots=True)
class Suspicion:
    """What speaks for a piece of work being the cause of the ends that it met.

    Attributes:
        own_alone: Ends by the process's own doing while it was alone in there.
        alone: Ends of any kind while it was alone.
        own_shared: Ends by the process's own doing while there was other work too.
        shared: Ends of any kind while there was other work too.
    """

    own_alone: int = 0
    alone: int = 0
    own_shared: int = 0
    shared: int = 0

    def note(self, end: ChildEnd, *, was_alone: bool) -> None:
        """Count an end.

        Args:
            end: Of the process that had the work.
            was_alone: It had no other work that can have been the cause.
        """
        is_own = not end.is_from_outside
        if was_alone:
            self.alone += 1
            self.own_alone += is_own
        else:
            self.shared += 1
            self.own_shared += is_own

    @property
    def ends(self) -> int:
        """All that it met."""
        return self.alone + self.shared

    @property
    def must_run_alone(self) -> bool:
        """Others must not be in the same process again."""
        return self.own_alone + self.own_shared > 0 or self.ends >= MAX_SHARED_ENDS

    @property
    def is_cause(self) -> bool:
        """It must not be run again."""
        return self.own_alone >= MAX_OWN_ENDS or self.alone >= MAX_ENDS_ALONE
