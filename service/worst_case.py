"""What the settings can come to at worst: the time that an end takes, and memory.

Grace periods and memory limits of containers are derived from it: tests compare those of Compose
and Kubernetes, `expofuse doctor` those of the machine.
"""

from service.http.server import CLOSE_TIMEOUT_S
from service.logs import FLUSH_TIMEOUT_S
from service.memory_budget import BYTES_PER_MEGAPIXEL, CODEC_BYTES, LOOP_BYTES, WORKER_BYTES
from service.processes.child_process import REAP_TIMEOUT_S
from service.processes.supervisor import STOP_TIMEOUT_S
from service.settings import MIB, Settings

FUSING_BYTES = 896 * MIB
"""What fusing takes of the device worker at worst: a warped pair of 24 megapixels took 194 MiB
(docs/performance.md), a network with ONNX Runtime a few times that."""


def count_stop_s(settings: Settings) -> float:
    """Longest time from SIGTERM to the end of the process, in seconds.

    The pause, the jobs, an idle worker that does not end when it is asked, one that the kernel does
    not let go when it is killed, clients that read slowly, the last traces and lines of the log.
    """
    children_s = STOP_TIMEOUT_S + 2 * REAP_TIMEOUT_S
    accepted_s = settings.drain_pause_s + settings.drain_timeout_s
    return accepted_s + children_s + CLOSE_TIMEOUT_S + 2 * FLUSH_TIMEOUT_S


def count_memory(settings: Settings) -> dict[str, int]:
    """Most bytes of memory, by what they are for; every bound reached at the same time.

    It is more than what `service.memory_budget` fits into the memory there is: a codec process is
    held to have reached the limit at which its calls are refused more memory, as a hostile file
    makes it do, and not what the dearest sound files take.

    Example:
        >>> most = count_memory(Settings())
        >>> list(most)
        ['uploads', 'pictures', 'kept pictures', 'shared memory', 'codec', 'worker', 'event loop']
    """
    limits, codec, cache = settings.limits, settings.codec, settings.cache
    return {
        "uploads": limits.max_upload_bytes,
        "pictures": limits.max_response_bytes,
        "kept pictures": cache.bytes + cache.keyed_bytes,
        "shared memory": int(limits.max_megapixels_in_flight * BYTES_PER_MEGAPIXEL),
        "codec": codec.count * (codec.memory_bytes + CODEC_BYTES),
        "worker": WORKER_BYTES + FUSING_BYTES,
        "event loop": LOOP_BYTES,
    }
