"""Says how a child process ended, and whether its own doing can be the cause."""

import signal
from dataclasses import dataclass

_SENT_BY_OTHERS = frozenset(
    {signal.SIGKILL, signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGQUIT}
)
"""No fault of a program raises them. The kernel sends SIGKILL where memory runs out, to the process
that is cheapest to lose and not to the one that took the memory."""


@dataclass(frozen=True, slots=True)
class ChildEnd:
    """The end of a child process.

    Attributes:
        exit_status: Negative: the signal that ended it; None: the kernel holds it still.
        was_ended_here: This process ended it, because it hung, took too long or talked nonsense.
        talked_nonsense: It said what it had no reason to say.
    """

    exit_status: int | None
    was_ended_here: bool
    talked_nonsense: bool = False

    @property
    def is_from_outside(self) -> bool:
        """Somebody else ended it, or the kernel for want of memory: no fault of its work.

        A crash (SIGSEGV, SIGABRT, SIGBUS ...), an exit, and an end by this process are its own.

        Example:
            >>> ChildEnd(-9, False).is_from_outside, ChildEnd(-11, False).is_from_outside
            (True, False)
            >>> ChildEnd(-9, True).is_from_outside, ChildEnd(1, False).is_from_outside
            (False, False)
        """
        if self.was_ended_here or self.exit_status is None:
            return False
        return -self.exit_status in _SENT_BY_OTHERS
