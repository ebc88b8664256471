"""Jobs of a service that is killed again and again, every process of it at once.

python -m tests.integration.killed_service 1000 --every 60  # the full trial, minutes
"""

import argparse
import json
import os
import signal
import sys
import tempfile
import threading
import time
import uuid
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path

import httpx

from tests import images
from tests.integration.conftest import RELEASED, server_settings
from tests.server import running_server
from tests.webhooks import SECRET, Receiver, receiving

SUBMITTERS = 4
PATIENCE_S = 3600.0


@dataclass(frozen=True, slots=True)
class Figures:
    """What came of it.

    Attributes:
        jobs: Submitted, each under a key of its own.
        kills: Of the whole service.
        done: Jobs whose picture was fetched and is the one that `POST /fuse` answers with.
        lost: Others.
        submissions_repeated: Requests that were sent again, because a kill took their answer.
        webhooks: Different `webhook-id`s that the receiver saw.
        webhook_calls: Calls that it saw.
        seconds: From the first submission to the last picture.
    """

    jobs: int
    kills: int
    done: int
    lost: int
    submissions_repeated: int
    webhooks: int
    webhook_calls: int
    seconds: float


def survive(folder: Path, *, jobs: int, kill_every: int, port: int) -> Figures:
    """Submit jobs while the service is killed each time that it has done so many of them.

    Args:
        folder: Of the state and the log.
        jobs: How many.
        kill_every: Jobs that are told between two kills.
        port: Where the service listens, every time.
    """
    with receiving() as receiver:
        environment = server_settings(RELEASED) | {
            "EXPOFUSE_PORT": str(port),
            "EXPOFUSE_STATE_DIR": str(folder / "state"),
            "EXPOFUSE_JOBS__WEBHOOK_HOSTS": f"http://127.0.0.1:{receiver.port}",
            "EXPOFUSE_JOBS__WEBHOOK_SECRET": SECRET,
        }
        trial = _Trial(f"http://127.0.0.1:{port}", receiver, jobs)
        begin = time.monotonic()
        trial.start()
        kills = 0
        while not trial.is_over:
            with running_server(environment, log_path=folder / f"{kills}.log", port=port) as server:
                trial.wait_until_told((kills + 1) * kill_every)
                if trial.is_over:
                    break
                os.killpg(server.process.pid, signal.SIGKILL)
                kills += 1
        return trial.sum_up(kills, time.monotonic() - begin)


class _Trial:
    """The clients."""

    def __init__(self, url: str, receiver: Receiver, jobs: int) -> None:
        self._url = url
        self._receiver = receiver
        self._jobs = jobs
        self._outcomes: Counter[str] = Counter()
        self._repeated = 0
        self._pictures: set[bytes] = set()
        self._lock = threading.Lock()
        self._over = threading.Event()
        self._files = {
            "under": images.encoded(pixels=images.scene(gain=0.3)),
            "over": images.encoded(pixels=images.scene()),
        }

    @property
    def is_over(self) -> bool:
        return self._over.is_set()

    def start(self) -> None:
        threading.Thread(target=self._run, daemon=True).start()

    def wait_until_told(self, jobs: int) -> None:
        """Return once so many jobs are done and told, or all is over."""
        while len(set(self._receiver.ids)) < jobs and not self._over.wait(0.02):
            pass

    def sum_up(self, kills: int, seconds: float) -> Figures:
        ids = self._receiver.ids
        return Figures(
            jobs=self._jobs,
            kills=kills,
            done=self._outcomes["done"],
            lost=self._jobs - self._outcomes["done"],
            submissions_repeated=self._repeated,
            webhooks=len(set(ids)),
            webhook_calls=len(ids),
            seconds=round(seconds, 1),
        )

    def _run(self) -> None:
        with ThreadPoolExecutor(SUBMITTERS) as clients:
            ids = list(clients.map(self._submit, range(self._jobs)))
            assert len(set(ids)) == self._jobs
            for outcome in clients.map(self._fetch, ids):
                self._outcomes[outcome] += 1
        deadline = time.monotonic() + PATIENCE_S
        while len(set(self._receiver.ids)) < self._jobs and time.monotonic() < deadline:
            time.sleep(0.1)
        self._over.set()

    def _submit(self, number: int) -> str:
        """Send one job until it is accepted; its key makes it one however often it is sent."""
        headers = {"Idempotency-Key": uuid.uuid4().hex}
        query = f"?align=off&webhook={self._receiver.url.replace('?', '%3F').replace('&', '%26')}"
        response = self._ask("POST", f"/jobs{query}", files=self._files, headers=headers)
        assert response.status_code == 202, response.text
        return str(response.json()["id"])

    def _fetch(self, job: str) -> str:
        while True:
            response = self._ask("GET", f"/jobs/{job}/result")
            if response.status_code == 200:
                with self._lock:
                    self._pictures.add(response.content)
                    return "done" if len(self._pictures) == 1 else "another picture"
            if response.status_code != 409:
                return response.text
            time.sleep(0.05)

    def _ask(self, method: str, path: str, **more: object) -> httpx.Response:
        deadline = time.monotonic() + PATIENCE_S
        while time.monotonic() < deadline:
            with suppress(httpx.TransportError):
                response = httpx.request(
                    method, self._url + path, trust_env=False, timeout=60.0, **more
                )
                if response.status_code != 503:
                    return response
            if method == "POST":
                with self._lock:
                    self._repeated += 1
            time.sleep(0.1)
        raise AssertionError("the service did not come back")


def main() -> None:
    """Run the trial and write its figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("jobs", type=int)
    parser.add_argument("--every", type=int, default=60, help="jobs between two kills")
    parser.add_argument("--port", type=int, default=8470)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        figures = survive(Path(folder), jobs=given.jobs, kill_every=given.every, port=given.port)
    sys.stdout.write(json.dumps(asdict(figures), indent=2) + "\n")


if __name__ == "__main__":
    main()
