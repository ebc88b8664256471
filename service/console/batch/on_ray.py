"""Runs a batch on a Ray cluster, where what reads and decodes scales apart from what fuses."""

import logging
import os
import pickle
import socket
import tempfile
import time
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import ray
import ray.data
import ray.exceptions

from expofuse.kinds import Files
from service.console.batch.run import BatchOptions, Outcome, fail_task, settle_task
from service.console.batch.sidecar import Recipe, make_recipe, read_sidecar, write_result
from service.console.batch.tasks import Task
from service.console.engines import LocalEngine
from service.console.exits import FAILURES, CommandError

ADDRESS_VARIABLE = "RAY_ADDRESS"
"""Names the cluster; without it one is started on this machine, and ends with the command."""

MAX_BLOCKS = 10_000
"""Ray's scheduler counts blocks; up to so many each of them is one bracket."""

READER_CORES = 0.5
"""Reading waits for disks and for those that fuse, so that two readers share a core."""

IN_FLIGHT = 2
"""Brackets that a process has: the one it works at, and the next, which is on its way."""

CONNECT_S = 10.0

RETRIES = 3
"""After so many deaths of processes that worked at a bracket it has failed."""


@dataclass(frozen=True, slots=True)
class RayOptions:
    """How a batch is run on a cluster.

    Attributes:
        readers: Processes that read and decode, at most; None takes as many as there are cores.
        fusers: Processes that fuse, at most; None takes one to a GPU, or one to a core where the
            cluster has no GPU.
    """

    readers: int | None = None
    fusers: int | None = None


@dataclass(frozen=True, slots=True)
class ReadBracket:
    """A bracket between the two processes that see it.

    Attributes:
        task: The bracket.
        recipe: What decides its picture.
        files: Its exposures, decoded.
        seconds: How long that took.
    """

    task: Task
    recipe: Recipe
    files: Files
    seconds: float


Row = dict[str, bytes]
"""What Ray hands on, pickled under the one name `bracket`: a `Task` to a reader; to a fuser a
`ReadBracket`, or an `Outcome` where nothing is to be fused; to the command an `Outcome`."""


class Reader:
    """Reads and decodes brackets, in a process of the cluster.

    Args:
        options: Of the batch.
        folder: From which relative paths go out.
        since_ns: When the batch began, by the clock of the folder of the results.
    """

    def __init__(self, options: BatchOptions, folder: Path, since_ns: int) -> None:
        os.chdir(folder)
        self._engine = LocalEngine()
        self._options = options
        self._since_ns = since_ns

    def __call__(self, row: Row) -> Row:
        """Read a bracket, unless its picture is there already."""
        task, begin_s = _unpack(row), time.monotonic()
        assert isinstance(task, Task)
        choices = self._options.choices
        try:
            recipe = make_recipe(task, choices, self._options.weights)
            settled = settle_task(task, recipe, self._options)
            if settled is not None:
                settled = _claim(settled, self._since_ns)
                return _pack(replace(settled, seconds=time.monotonic() - begin_s))
            files = self._engine.read(task.inputs, choices.named_for(task.out))
        except FAILURES as error:
            return _pack(fail_task(task, error, seconds=time.monotonic() - begin_s))
        return _pack(ReadBracket(task, recipe, files, time.monotonic() - begin_s))


class Fuser:
    """Fuses what was read and writes the pictures, in a process of the cluster.

    Args:
        options: Of the batch.
        folder: From which relative paths go out.
    """

    def __init__(self, options: BatchOptions, folder: Path) -> None:
        os.chdir(folder)
        self._engine = LocalEngine(threads=1)
        self._options = options

    def __call__(self, row: Row) -> Row:
        """Fuse a bracket; one that has its outcome passes."""
        read = _unpack(row)
        if isinstance(read, Outcome):
            return row
        assert isinstance(read, ReadBracket)
        task, begin_s = read.task, time.monotonic() - read.seconds
        try:
            self._check_weights()
            choices = self._options.choices.named_for(task.out)
            picture = self._engine.fuse_read(read.files, choices)
            sidecar = write_result(task, read.recipe, picture)
        except FAILURES as error:
            return _pack(fail_task(task, error, seconds=time.monotonic() - begin_s))
        return _pack(Outcome(task, "fused", time.monotonic() - begin_s, sidecar.report))

    def _check_weights(self) -> None:
        """See that this node has the weights that the command was given.

        Raises:
            CommandError: It has others under the same name.
            WeightsError: It has none.
        """
        here = self._engine.identify_weights(self._options.choices)
        if here != self._options.weights:
            raise CommandError(
                "expected the same weights on every node of the cluster, "
                f"got others on {os.uname().nodename}",
                code="weights",
            )


def run_on_ray(
    tasks: Sequence[Task], options: BatchOptions, cluster: RayOptions, *, target: Path
) -> Iterator[Outcome]:
    """Do every task that is not done yet, on the cluster of `RAY_ADDRESS` or on this machine.

    Every node must see the files under the same paths. What a node was at when it died is read
    again elsewhere; a picture that it had written already is found, and not made twice.

    Args:
        tasks: The brackets.
        options: Of the batch.
        cluster: How many processes work at it.
        target: Folder of the results.

    Yields:
        What became of each, as soon as it is known. A bracket whose processes keep dying has
        failed.

    Raises:
        CommandError: There is no such cluster, it has too few cores, or it was lost.
    """
    waiting = {task.number: task for task in tasks}
    if not waiting:
        return
    folder, since_ns = Path.cwd(), _read_clock(target)
    with _connect():
        gpus, cores = _measure_cluster()
        pools = [
            ray.data.ActorPoolStrategy(
                min_size=1, max_size=size, max_tasks_in_flight_per_actor=IN_FLIGHT
            )
            for size in (cluster.readers or cores, cluster.fusers or gpus or cores)
        ]
        rows = [_pack(task) for task in tasks]
        dataset = ray.data.from_items(rows, override_num_blocks=min(len(rows), MAX_BLOCKS))
        # A limit of retries is deprecated together with all that has no name of its own, and that
        # is not to replace it: until Ray 2.64, without it what kills its process is tried for ever.
        with warnings.catch_warnings(category=DeprecationWarning, action="ignore"):
            read = dataset.map(
                Reader,  # type: ignore[arg-type]  # a class is documented, and not typed
                fn_constructor_args=(options, folder, since_ns),
                compute=pools[0],
                num_cpus=READER_CORES,
                max_task_retries=RETRIES,
            )
            fused = read.map(
                Fuser,  # type: ignore[arg-type]
                fn_constructor_args=(options, folder),
                compute=pools[1],
                num_cpus=1,
                num_gpus=1 if gpus else 0,
                max_task_retries=RETRIES,
            )
        for row in fused.iter_rows():
            outcome = _unpack(row)
            assert isinstance(outcome, Outcome)
            task = waiting.pop(outcome.task.number)
            yield replace(outcome, task=task)
    for task in waiting.values():
        message = f"the processes that worked at it died, {RETRIES} times and more"
        yield Outcome(task, "failed", 0.0, {}, "died", message)


@contextmanager
def _connect() -> Iterator[None]:
    """Be part of the cluster, with Ray's own words kept to errors."""
    address = os.environ.get(ADDRESS_VARIABLE)
    if address:
        _check_address(address)
    # Read where a cluster is started: nothing about what runs here is to leave the machine.
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    logging.getLogger("ray.data").setLevel(logging.ERROR)
    try:
        ray.init(
            address=address or "local",
            include_dashboard=None if address else False,
            logging_level=logging.ERROR,
            log_to_driver=False,
        )
    except (ConnectionError, ray.exceptions.RayError) as cause:
        raise CommandError(f"no Ray cluster to be part of: {cause}", code="no-cluster") from cause
    context = ray.data.DataContext.get_current()
    context.enable_progress_bars = False
    # A bracket that cannot be had is told of at the end, and ends no other.
    context.max_errored_blocks = -1
    try:
        yield
    except ray.exceptions.RayError as cause:
        raise CommandError(f"the Ray cluster was lost: {cause}", code="no-cluster") from cause
    finally:
        ray.shutdown()


def _check_address(address: str) -> None:
    """See that somebody listens there: Ray itself tries for minutes.

    Raises:
        CommandError: Nobody does.
    """
    host, separator, port = address.removeprefix("ray://").rpartition(":")
    if not separator:  # A word of Ray's own, such as "auto".
        return
    try:
        socket.create_connection((host.strip("[]"), int(port)), timeout=CONNECT_S).close()
    except (OSError, ValueError) as cause:
        raise CommandError(
            f"expected a Ray cluster at '{address}', which {ADDRESS_VARIABLE} names, got none",
            code="no-cluster",
        ) from cause


def _measure_cluster() -> tuple[int, int]:
    """GPUs and cores of the whole cluster.

    Raises:
        CommandError: A reader and a fuser do not find room at the same time.
    """
    found: dict[str, float] = ray.cluster_resources()  # type: ignore[no-untyped-call]
    cores = found.get("CPU", 0.0)
    if cores < 1 + READER_CORES:
        raise CommandError(
            f"expected a Ray cluster of two cores or more, got {cores:g}", code="no-cluster"
        )
    return int(found.get("GPU", 0.0)), int(cores)


def _pack(item: Task | ReadBracket | Outcome) -> Row:
    # As bytes: Ray tries at length to make a column of Arrow of anything else.
    return {"bracket": pickle.dumps(item, pickle.HIGHEST_PROTOCOL)}


def _unpack(row: Row) -> Task | ReadBracket | Outcome:
    item: Task | ReadBracket | Outcome = pickle.loads(row["bracket"])
    return item


def _read_clock(target: Path) -> int:
    """The time now, as the disk of the results tells it, whichever machine that is."""
    with tempfile.NamedTemporaryFile(dir=target, prefix=".clock-") as file:
        return Path(file.name).stat().st_mtime_ns


def _claim(outcome: Outcome, since_ns: int) -> Outcome:
    """Say of a picture that this very batch wrote, before a process was lost, that it is fused."""
    if outcome.status != "up to date":
        return outcome
    sidecar = read_sidecar(outcome.task)
    if sidecar is None or outcome.task.sidecar.stat().st_mtime_ns <= since_ns:
        return outcome
    return replace(outcome, status="fused", report=sidecar.report)
