"""Does what goes wrong on the internet and on a machine to a service under load, and counts.

Three well-behaved clients ask for the same small picture all the time. Of each of their requests
it is written down whether it was answered, refused, lost, answered twice, or with another picture.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from bench.capacity import make_kind, run_in_loop
from bench.faults.acts import FAULTS
from bench.faults.confine import CannotConfineError
from bench.faults.trial import Fault, try_fault
from bench.scope import Outcome, Scope

SMALL_MP = 0.3


def run(scope: Scope) -> Outcome:
    """Try every fault, or those that were asked for, each on a service of its own.

    Raises:
        ValueError: A fault that was asked for is not known.
    """
    kind = make_kind(SMALL_MP)
    trials: list[dict[str, object]] = []
    for fault in choose_faults(scope.only_faults):
        try:
            found = run_in_loop(try_fault(fault, kind, seconds=scope.fault_s))
        except CannotConfineError as cause:
            found = {"name": fault.name, "what": fault.what, "skipped": str(cause)}
        trials.append(found)
        print(tell_trial(found), flush=True)
    return Outcome([], [], {"fault_s": scope.fault_s, "faults": trials})


def choose_faults(names: Sequence[str]) -> list[Fault]:
    """Faults of these names; all of them where there are no names.

    Raises:
        ValueError: There is no fault of a name.
    """
    known = {fault.name: fault for fault in FAULTS}
    unknown = sorted(set(names) - set(known))
    if unknown:
        raise ValueError(f"expected faults of {', '.join(known)}, got {', '.join(unknown)}")
    return [known[name] for name in names] if names else list(FAULTS)


def tell_trial(found: Mapping[str, object]) -> str:
    """One line."""
    if "skipped" in found:
        return f"  {found['name']}: not done, {found['skipped']}"
    return (
        f"  {found['name']}: {found['sent']} sent, {found['answered']} answered, "
        f"{found['refused']} refused, others {found['others']}, {found['lost']} lost, "
        f"{found['answered_twice']} twice, {found['wrong_pictures']} wrong, "
        f"silent {found['longest_silence_s']} s, recovered after {found['recovered_s']} s; "
        f"{found['ends']}"
    )
