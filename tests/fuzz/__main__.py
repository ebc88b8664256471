"""Sends damaged files, or damaged requests, and says what became of them.

python -m tests.fuzz --count 20000 [--seed 1]    files, through real codec processes
python -m tests.fuzz --framing 2000 [--seed 1]   forms and the framing of HTTP, to a real server

Damaged requests are drawn by hypothesis. One that is answered as it should not be is made as small
as it can be and kept in `tests/fuzz/corpus`, whose cases a test sends again; then this ends with 1.
"""

import argparse
import json
import logging
import sys
import tempfile
import time
from pathlib import Path

from tests.fuzz.corpus_files import save_case
from tests.fuzz.files import send_files
from tests.fuzz.search import judging, search
from tests.server import running_server


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--count", type=int, default=20_000, help="damaged files")
    parser.add_argument("--framing", type=int, help="damaged requests instead of files")
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    if options.framing is None:
        report, failures = send_files(options.seed, options.count), 0
    else:
        report, failures = send_requests(options.seed, options.framing)
    json.dump(report, sys.stdout, indent=2)
    sys.stdout.write("\n")
    sys.exit(failures > 0)


def send_requests(seed: int, count: int) -> tuple[dict[str, object], int]:
    """Try so many requests on a server of its own; the report, and how many failed."""
    logging.getLogger("python_multipart").setLevel(logging.ERROR)
    begin = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        settings = {"EXPOFUSE_CODEC__PROCESSES": "2", "EXPOFUSE_LOG_LEVEL": "error"}
        with (
            running_server(settings, log_path=Path(folder) / "log") as server,
            judging(server) as judge,
        ):
            found = search(judge, count=count, seed=seed)
            log = server.log()
    kept = [f"{save_case(case, why).name}: {why}" for case, why in found.failures]
    report: dict[str, object] = {
        "requests": found.cases,
        "answers": {str(status): number for status, number in found.answers.most_common()},
        "failures": kept,
        "lines of errors in the log": len(log.splitlines()),
        "seconds": round(time.monotonic() - begin),
    }
    return report, len(kept)


if __name__ == "__main__":
    main()
