"""What is known of all jobs, in SQLite: what is committed outlives the process and the machine.

Every call belongs to one thread, and blocks it until the disk has what it wrote.
"""

import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from expofuse.answers import JobState
from service.errors import BodyTooLargeError, JobsSetupError, QueueFullError, StorageFullError
from service.jobs.job import Job, NewJob, StoredForm, StoredPicture, StoredProblem
from service.settings import JobSettings

SCHEMA_VERSION: Final = 1
ROW_BYTES: Final = 4096
"""What a job counts beside its files: its row, and what a file system adds to small files."""

MAX_REMEMBERED: Final = 10_000
"""Jobs whose picture has expired that are still known, to be answered with 410."""

LONGEST_PAUSE_S: Final = 3600.0
"""Between two calls of one webhook; a due time beyond it is that of a clock that was put back."""

_SCHEMA = """
CREATE TABLE jobs (
    number INTEGER PRIMARY KEY,
    id TEXT NOT NULL UNIQUE,
    caller TEXT NOT NULL,
    request_id TEXT NOT NULL,
    submission TEXT UNIQUE,
    state TEXT NOT NULL,
    form TEXT NOT NULL,
    work_s REAL NOT NULL,
    counted_bytes INTEGER NOT NULL,
    attempts INTEGER NOT NULL DEFAULT 0,
    accepted_s REAL NOT NULL,
    started_s REAL,
    finished_s REAL,
    expires_s REAL,
    picture TEXT,
    problem TEXT,
    webhook TEXT,
    webhook_state TEXT NOT NULL,
    webhook_attempts INTEGER NOT NULL DEFAULT 0,
    webhook_due_s REAL
) STRICT;
CREATE INDEX jobs_by_state ON jobs (state, caller, number);
CREATE INDEX jobs_by_webhook ON jobs (webhook_due_s) WHERE webhook_state = 'pending';
"""
_ARRIVING = "arriving"
"""The state of a job whose exposures are being written: it counts, and nobody knows of it yet."""

_UNFINISHED = "('arriving', 'queued', 'running')"
_KNOWN = f"state <> '{_ARRIVING}'"


@dataclass(frozen=True, slots=True)
class Ahead:
    """What has to be done before a job that waits.

    Attributes:
        jobs: How many others are expected to be begun before it.
        work_s: Seconds of work in them.
    """

    jobs: int
    work_s: float


@dataclass(frozen=True, slots=True)
class Recovery:
    """What was found when the folder was opened.

    Attributes:
        exposures: Ids of the jobs whose exposures are needed.
        pictures: Ids of those whose picture is kept.
        requeued: Jobs that were running, and wait again.
        lost: Jobs that were running too often.
    """

    exposures: frozenset[str]
    pictures: frozenset[str]
    requeued: int
    lost: int


class JobStore:
    """The table of the jobs.

    Args:
        path: Of the database; made where it is not there.
        settings: The bounds.

    Raises:
        JobsSetupError: It is damaged, or of another version.
    """

    def __init__(self, path: Path, settings: JobSettings) -> None:
        self._settings = settings
        try:
            self._database = sqlite3.connect(path, isolation_level=None)
            self._database.row_factory = sqlite3.Row
            self._prepare()
        except sqlite3.Error as cause:
            raise JobsSetupError(
                f"expected jobs in EXPOFUSE_STATE_DIR that can be read: {cause}"
            ) from cause

    def close(self) -> None:
        """Close the database."""
        self._database.close()

    def recover(self, problem: StoredProblem, now_s: float) -> Recovery:
        """Put what a killed service left into order.

        Args:
            problem: Of jobs that were running too often.
            now_s: Seconds since 1970.
        """
        most = self._settings.max_attempts
        with self._transaction():
            self._execute("DELETE FROM jobs WHERE state = ?", _ARRIVING)
            worn_out = self._rows(
                "SELECT * FROM jobs WHERE state='running' AND attempts >= ?", most
            )
            for row in worn_out:
                self._end(row["id"], "failed", now_s, problem=problem)
            requeued = self._execute("UPDATE jobs SET state='queued' WHERE state='running'")
        return Recovery(
            exposures=frozenset(self._ids("state IN ('queued', 'running')")),
            pictures=frozenset(self._ids("state = 'done'")),
            requeued=requeued,
            lost=len(worn_out),
        )

    def reserve(self, job: NewJob, now_s: float) -> list[str]:
        """Make room for a job and count it; `confirm` or `remove` follows.

        Args:
            job: What is about to be written.
            now_s: Seconds since 1970.

        Returns:
            Ids of the jobs that gave way, whose pictures are to be removed.

        Raises:
            QueueFullError: As many jobs as may wait do.
            StorageFullError: There is no room beside the jobs that are not done.
            BodyTooLargeError: There would be none in an empty folder either.
        """
        counted = job.exposure_bytes + job.picture_bytes + ROW_BYTES
        most = self._settings.max_bytes
        if counted > most:
            raise BodyTooLargeError(
                f"expected exposures and a picture of at most {most} bytes together, which the "
                f"folder of the jobs holds, got {counted}"
            )
        with self._transaction():
            self._check_waiting()
            gone = self._make_room(counted)
            self._execute(
                "INSERT INTO jobs (id, caller, request_id, state, form, work_s, counted_bytes, "
                "accepted_s, webhook, webhook_state) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                job.id,
                job.caller,
                job.request_id,
                _ARRIVING,
                job.form.model_dump_json(),
                job.work_s,
                counted,
                now_s,
                job.webhook,
                "none" if job.webhook is None else "pending",
            )
        return gone

    def check_waiting(self) -> None:
        """Refuse before a body is read, where it is certain that its job would be refused.

        Raises:
            QueueFullError: As many jobs as may wait do.
        """
        self._check_waiting()

    def confirm(self, job_id: str, submission: str | None) -> str:
        """Accept a reserved job, whose exposures are on the disk.

        Args:
            job_id: As reserved.
            submission: Names what a client may send twice but wants once; None: nothing.

        Returns:
            The job's id; that of an earlier job of the same submission, where there is one.
        """
        with self._transaction():
            for earlier in self._rows("SELECT id FROM jobs WHERE submission = ?", submission):
                self._execute("DELETE FROM jobs WHERE id = ?", job_id)
                return str(earlier["id"])
            self._execute(
                "UPDATE jobs SET state='queued', submission=? WHERE id=?", submission, job_id
            )
        return job_id

    def remove(self, job_id: str) -> None:
        """Forget a job."""
        self._execute("DELETE FROM jobs WHERE id = ?", job_id)

    def find(self, job_id: str) -> Job | None:
        """A job by its id."""
        rows = self._rows(f"SELECT * FROM jobs WHERE id = ? AND {_KNOWN}", job_id)
        return _read_job(rows[0]) if rows else None

    def list_of(self, caller: str, most: int) -> list[Job]:
        """The jobs of one caller, the last accepted first.

        Args:
            caller: As `RequestRecord.caller`.
            most: How many at most.
        """
        rows = self._rows(
            f"SELECT * FROM jobs WHERE caller = ? AND {_KNOWN} ORDER BY number DESC LIMIT ?",
            caller,
            most,
        )
        return [_read_job(row) for row in rows]

    def list_heads(self) -> list[Job]:
        """Of each caller the job that has waited longest, the longest waiting first."""
        rows = self._rows(
            "SELECT * FROM jobs WHERE number IN "
            "(SELECT min(number) FROM jobs WHERE state='queued' GROUP BY caller) ORDER BY number"
        )
        return [_read_job(row) for row in rows]

    def begin(self, job_id: str, now_s: float) -> bool:
        """Note that a job runs; whether it still waited."""
        return bool(
            self._execute(
                "UPDATE jobs SET state='running', attempts=attempts + 1, started_s=? "
                "WHERE id=? AND state='queued'",
                now_s,
                job_id,
            )
        )

    def give_back(self, job_id: str) -> None:
        """Let a running job wait again, as if it had not been begun."""
        self._execute(
            "UPDATE jobs SET state='queued', attempts=attempts - 1 WHERE id=? AND state='running'",
            job_id,
        )

    def finish(self, job_id: str, picture: StoredPicture, now_s: float) -> bool:
        """Note that a job is done; False where it was cancelled meanwhile."""
        with self._transaction():
            return self._end(job_id, "done", now_s, picture=picture)

    def fail(self, job_id: str, problem: StoredProblem, now_s: float) -> bool:
        """Note that a job has failed; False where it was cancelled meanwhile."""
        with self._transaction():
            return self._end(job_id, "failed", now_s, problem=problem)

    def cancel(self, job_id: str, now_s: float) -> bool:
        """Cancel a job that waits or runs; False where it is over."""
        with self._transaction():
            return self._end(job_id, "cancelled", now_s)

    def expire(self, now_s: float) -> list[str]:
        """Let go of jobs that were kept long enough.

        Returns:
            Their ids; their pictures are to be removed.
        """
        ids = self._ids("state IN ('done', 'failed', 'cancelled') AND expires_s <= ?", now_s)
        if ids:
            with self._transaction():
                self._forget_pictures(ids)
        return ids

    def give_way(self, n_bytes: int) -> list[str]:
        """Let finished jobs go, those done first, until so many bytes are free or none is left.

        Those whose webhook is not delivered yet go last.

        Returns:
            Their ids; their pictures are to be removed.
        """
        with self._transaction():
            return self._free(n_bytes)

    def count_ahead(self, job: Job) -> Ahead:
        """What is expected to be begun before a waiting job: callers take turns."""
        (own,) = self._rows(
            "SELECT count(*) AS jobs FROM jobs WHERE state='queued' AND caller=? AND number<?",
            job.caller,
            job.number,
        )
        (others,) = self._rows(
            "SELECT coalesce(sum(min(jobs, ?)), 0) AS jobs FROM (SELECT count(*) AS jobs FROM jobs "
            "WHERE state='queued' AND caller<>? GROUP BY caller)",
            own["jobs"],
            job.caller,
        )
        (all_of_them,) = self._rows(
            "SELECT coalesce(avg(work_s), 0.0) AS work_s FROM jobs WHERE state='queued'"
        )
        jobs = own["jobs"] + others["jobs"]
        return Ahead(jobs, jobs * all_of_them["work_s"])

    def count_states(self) -> dict[str, int]:
        """How many jobs there are of each state."""
        rows = self._rows(f"SELECT state, count(*) AS n FROM jobs WHERE {_KNOWN} GROUP BY state")
        return {row["state"]: row["n"] for row in rows}

    def count_bytes(self) -> int:
        """What all jobs count against the bound of the folder."""
        (row,) = self._rows("SELECT coalesce(sum(counted_bytes), 0) AS n FROM jobs")
        return int(row["n"])

    def list_due(self, now_s: float, most: int) -> list[Job]:
        """Jobs whose webhook is to be called, the longest due first."""
        rows = self._rows(
            "SELECT * FROM jobs WHERE webhook_state='pending' AND "
            "(webhook_due_s <= ? OR webhook_due_s > ?) ORDER BY webhook_due_s LIMIT ?",
            now_s,
            now_s + 2 * LONGEST_PAUSE_S,
            most,
        )
        return [_read_job(row) for row in rows]

    def settle_webhook(self, job_id: str, *, is_delivered: bool) -> None:
        """Note the end of a webhook: delivered, or given up."""
        self._execute(
            "UPDATE jobs SET webhook_state=?, webhook_attempts=webhook_attempts + 1, "
            "webhook_due_s=NULL WHERE id=?",
            "delivered" if is_delivered else "given-up",
            job_id,
        )

    def postpone_webhook(self, job_id: str, due_s: float) -> None:
        """Note that a call of a webhook failed, and when to try again."""
        self._execute(
            "UPDATE jobs SET webhook_attempts=webhook_attempts + 1, webhook_due_s=? WHERE id=?",
            due_s,
            job_id,
        )

    def _prepare(self) -> None:
        (version,) = self._database.execute("PRAGMA user_version").fetchone()
        if version not in (0, SCHEMA_VERSION):
            raise JobsSetupError(
                f"expected jobs of version {SCHEMA_VERSION} in EXPOFUSE_STATE_DIR, got those of "
                f"version {version}: start the service that wrote them, or take an empty folder"
            )
        self._database.execute("PRAGMA journal_mode=WAL")
        # A commit returns when it is on the disk: a job is accepted though the power fails.
        self._database.execute("PRAGMA synchronous=FULL")
        if version == 0:
            self._database.executescript(
                f"BEGIN IMMEDIATE; {_SCHEMA} PRAGMA user_version={SCHEMA_VERSION}; COMMIT;"
            )

    def _check_waiting(self) -> None:
        (row,) = self._rows(f"SELECT count(*) AS n FROM jobs WHERE state IN {_UNFINISHED}")
        most = self._settings.max_waiting
        if row["n"] >= most:
            raise QueueFullError(f"expected fewer than {most} jobs that wait, got {row['n']}")

    def _make_room(self, counted: int) -> list[str]:
        excess = self.count_bytes() + counted - self._settings.max_bytes
        (kept,) = self._rows(
            f"SELECT coalesce(sum(counted_bytes), 0) AS n FROM jobs WHERE state IN {_UNFINISHED}"
        )
        if kept["n"] + counted > self._settings.max_bytes:
            raise StorageFullError(
                f"expected at most {self._settings.max_bytes} bytes of jobs that are not done, "
                f"{kept['n']} are, and {counted} came"
            )
        return self._free(excess) if excess > 0 else []

    def _free(self, n_bytes: int) -> list[str]:
        gone: list[str] = []
        rows = self._database.execute(
            "SELECT id, counted_bytes FROM jobs WHERE state IN ('done', 'failed', 'cancelled') "
            "ORDER BY webhook_state='pending', finished_s, number"
        )
        for row in rows:
            if n_bytes <= 0:
                break
            gone.append(row["id"])
            n_bytes -= row["counted_bytes"]
        self._forget_pictures(gone)
        return gone

    def _forget_pictures(self, ids: Sequence[str]) -> None:
        for one in ids:
            self._execute(
                "UPDATE jobs SET state='expired', counted_bytes=0, picture=NULL, problem=NULL, "
                "submission=NULL, webhook_state=CASE webhook_state WHEN 'pending' "
                "THEN 'given-up' ELSE webhook_state END WHERE id=?",
                one,
            )
        self._execute(
            "DELETE FROM jobs WHERE state='expired' AND number <= (SELECT number FROM jobs "
            "WHERE state='expired' ORDER BY number DESC LIMIT 1 OFFSET ?)",
            MAX_REMEMBERED,
        )

    def _end(
        self,
        job_id: str,
        state: JobState,
        now_s: float,
        *,
        picture: StoredPicture | None = None,
        problem: StoredProblem | None = None,
    ) -> bool:
        """Bring a job to its end; who cancels it needs no webhook to know."""
        return bool(
            self._execute(
                "UPDATE jobs SET state=?1, finished_s=?2, expires_s=?3, picture=?4, problem=?5, "
                "counted_bytes=?6, "
                "webhook_state=CASE WHEN webhook IS NULL OR ?1='cancelled' THEN 'none' "
                "ELSE 'pending' END, "
                "webhook_due_s=CASE WHEN webhook IS NULL OR ?1='cancelled' THEN NULL ELSE ?2 END "
                "WHERE id=?7 AND state IN ('queued', 'running')",
                state,
                now_s,
                now_s + self._settings.keep_s,
                None if picture is None else picture.model_dump_json(),
                None if problem is None else problem.model_dump_json(),
                ROW_BYTES + (0 if picture is None else picture.n_bytes),
                job_id,
            )
        )

    def _execute(self, statement: str, *values: str | float | None) -> int:
        return self._database.execute(statement, values).rowcount

    def _rows(self, query: str, *values: str | float | None) -> list[sqlite3.Row]:
        return self._database.execute(query, values).fetchall()

    def _ids(self, condition: str, *values: str | float) -> list[str]:
        return [row["id"] for row in self._rows(f"SELECT id FROM jobs WHERE {condition}", *values)]

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        self._database.execute("BEGIN IMMEDIATE")
        try:
            yield
            self._database.execute("COMMIT")
        except BaseException:
            if self._database.in_transaction:
                self._database.execute("ROLLBACK")
            raise


def _read_job(row: sqlite3.Row) -> Job:
    picture, problem = row["picture"], row["problem"]
    return Job(
        number=row["number"],
        id=row["id"],
        caller=row["caller"],
        request_id=row["request_id"],
        state=row["state"],
        form=StoredForm.model_validate_json(row["form"]),
        work_s=row["work_s"],
        attempts=row["attempts"],
        accepted_s=row["accepted_s"],
        started_s=row["started_s"],
        finished_s=row["finished_s"],
        expires_s=row["expires_s"],
        picture=None if picture is None else StoredPicture.model_validate_json(picture),
        problem=None if problem is None else StoredProblem.model_validate_json(problem),
        webhook=row["webhook"],
        webhook_state=row["webhook_state"],
        webhook_attempts=row["webhook_attempts"],
    )
