"""A child process that misbehaves once and is the real one from its next start on.

Arguments: the fault, a file that remembers it, the JSON of the ready message, and then the command
of the real process; the parent's process id comes last.
"""

import os
import sys
import time
from pathlib import Path

from service.processes.wire import make_head

FAULTS = ("exits at start", "floods", "talks nonsense", "closes its pipe", "announces too much")


def main() -> None:
    fault, record, ready, *real = sys.argv[1:]
    if Path(record).exists():
        os.execv(real[0], real)
    Path(record).touch()
    if fault == "exits at start":
        sys.exit(3)
    os.write(1, make_head(ready.encode(), 0))
    time.sleep(0.2)
    if fault == "floods":
        pong = make_head(b'{"kind": "pong"}', 0) * 100
        while True:
            os.write(1, pong)
    if fault == "talks nonsense":
        os.write(1, make_head(b"no JSON", 0))
    if fault == "announces too much":
        os.write(1, b"\xff" * 12)
    if fault == "closes its pipe":
        os.close(1)
    time.sleep(3600)


if __name__ == "__main__":
    main()
