"""The worst case follows from the settings, and from nothing that is written down twice."""

from service.settings import CacheSettings, CodecSettings, LimitSettings, Settings
from service.worst_case import count_memory, count_stop_s

MIB = 2**20


def test_an_end_takes_what_is_waited_for_one_after_another():
    settings = Settings(drain_pause_s=3, drain_timeout_s=40)
    assert count_stop_s(settings) == 3 + 40 + (5 + 2 * 5) + 10 + 2 * 1


def test_every_bound_of_memory_is_counted():
    before = count_memory(Settings(codec=CodecSettings(processes=2)))
    limits = LimitSettings(
        max_upload_bytes=1025 * MIB, max_response_bytes=514 * MIB, max_megapixels_in_flight=151
    )
    settings = Settings(
        limits=limits,
        codec=CodecSettings(processes=3),
        cache=CacheSettings(bytes=4 * MIB, keyed_bytes=65 * MIB),
    )
    grown = {kind: most - before[kind] for kind, most in count_memory(settings).items()}
    assert grown == {
        "uploads": MIB,
        "pictures": 2 * MIB,
        "kept pictures": 5 * MIB,
        "shared memory": 9_000_000,
        "codec": (4096 + 128) * MIB,
        "worker": 0,
        "event loop": 0,
    }
