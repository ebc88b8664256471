"""How patiently a child process is watched."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class SupervisionLimits:
    """How patient a supervisor is.

    Attributes:
        start_timeout_s: Longest time from a start to the message that the child is warmed up.
        stall_timeout_s: Time without a heartbeat after which a child is replaced.
        backoff_s: Wait after the first start that failed; doubles with each that follows.
        backoff_max_s: Longest wait.
    """

    start_timeout_s: float
    stall_timeout_s: float
    backoff_s: float
    backoff_max_s: float
