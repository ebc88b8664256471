"""Counts what may be asked for in a minute: token buckets, for keys and for addresses.

The library `limits` counts in windows, and neither gives back what was not used nor lets one
request cost more than a window holds; what is needed is these few lines.
"""

import ipaddress
import math
import time
from collections import OrderedDict
from collections.abc import Callable

MINUTE_S = 60.0
MAX_ADDRESSES = 4096
NETWORK_BITS = 64
"""Of an IPv6 address: what one customer is given, who may use any address in it."""

Clock = Callable[[], float]


class Bucket:
    """So many units a minute: all of them at once, then as they come back, one by one.

    What costs more than the whole bucket holds is let through when the bucket is full and leaves a
    debt, so that a large picture is not refused for ever, and the rate holds all the same.

    Args:
        per_minute: Units that come back in a minute, and that the bucket holds.
        clock: Seconds.

    Example:
        >>> now = [0.0]
        >>> bucket = Bucket(60, clock=lambda: now[0])
        >>> bucket.find_wait_s(100), bucket.take(100), bucket.find_wait_s(1)
        (0.0, None, 41.0)
        >>> now[0] = 41.0
        >>> bucket.find_wait_s(1), bucket.left
        (0.0, 1)
    """

    def __init__(self, per_minute: float, *, clock: Clock = time.monotonic) -> None:
        self._capacity = float(per_minute)
        self._level = self._capacity
        self._clock = clock
        self._moment = clock()

    @property
    def left(self) -> int:
        """Whole units that are left."""
        return max(0, math.floor(self._fill() + 1e-9))

    @property
    def full_in_s(self) -> int:
        """Whole seconds after which it is full again."""
        return math.ceil((self._capacity - self._fill()) * MINUTE_S / self._capacity)

    def find_wait_s(self, cost: float) -> float:
        """Seconds until so much may be taken; 0: now."""
        lacking = min(cost, self._capacity) - self._fill()
        return lacking * MINUTE_S / self._capacity if lacking > 1e-9 else 0.0

    def take(self, cost: float) -> None:
        """Take units; the caller has asked whether it may."""
        self._level = self._fill() - cost

    def give_back(self, cost: float) -> None:
        """Put units back that were not used."""
        self._level = min(self._capacity, self._fill() + cost)

    def resize(self, per_minute: float) -> None:
        """Change how much it holds; what was used stays used."""
        used = self._capacity - self._fill()
        self._capacity = float(per_minute)
        self._level = self._capacity - used

    def _fill(self) -> float:
        now = self._clock()
        grown = (now - self._moment) * self._capacity / MINUTE_S
        self._level = min(self._capacity, self._level + grown)
        self._moment = now
        return self._level


class AddressBuckets:
    """A bucket for each address; of many addresses those that were seen last are remembered.

    Args:
        per_minute: Of each bucket.
    """

    def __init__(self, per_minute: int) -> None:
        self._per_minute = per_minute
        self._buckets: OrderedDict[str, Bucket] = OrderedDict()

    def find(self, address: str) -> Bucket:
        """The bucket of an address."""
        name = name_network(address)
        bucket = self._buckets.pop(name, None) or Bucket(self._per_minute)
        self._buckets[name] = bucket
        if len(self._buckets) > MAX_ADDRESSES:
            self._buckets.popitem(last=False)
        return bucket


def name_network(address: str) -> str:
    """What stands for the owner of an address: itself, or its network.

    Example:
        >>> name_network("192.0.2.7"), name_network("2001:db8::1:2"), name_network("")
        ('192.0.2.7', '2001:db8::/64', '')
    """
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return address
    if isinstance(parsed, ipaddress.IPv4Address):
        return address
    mapped = parsed.ipv4_mapped
    if mapped is not None:
        return str(mapped)
    return str(ipaddress.IPv6Network((int(parsed), NETWORK_BITS), strict=False))
