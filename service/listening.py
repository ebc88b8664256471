"""Claims the addresses that the service listens on."""

import socket

from service.errors import AddressError

MAX_QUEUED_BYTES = 131_072
"""Bytes of an answer that wait in the system to be sent. Left alone, Linux takes 4 MiB of each
answer that nobody reads, where no budget counts them; throughput is the same."""


def claim_address(host: str, port: int) -> socket.socket:
    """Bind a socket; nothing is accepted before it is served.

    Args:
        host: An address, or a name of one.
        port: 0: any free one.

    Raises:
        AddressError: The name is unknown, or the address is taken or not one of this machine.
    """
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        listener = socket.socket(family, kind, protocol)
    except (OSError, UnicodeError) as cause:
        raise _explain(host, port, cause) from cause
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        # Connections have it from their listener.
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT, MAX_QUEUED_BYTES)
        listener.bind(address)
    except OSError as cause:
        listener.close()
        raise _explain(host, port, cause) from cause
    return listener


def _explain(host: str, port: int, cause: Exception) -> AddressError:
    reason = getattr(cause, "strerror", None) or "not a name of a host"
    return AddressError(f"cannot listen on {host} port {port}: {reason}")
