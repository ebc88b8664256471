"""Decides where webhooks may go, signs them and sends one: Standard Webhooks 1.0.

A webhook goes to a host that the operator lists, by the scheme and to the port that are listed. Its
name is looked up once and the connection is made to an address of that answer, which has to be a
public one or within a listed network: who holds the name cannot lead the service into its own
network. Proxies are not used and redirects not followed.

Reference:
    https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md
"""

import asyncio
import base64
import binascii
import hashlib
import hmac
import ipaddress
import re
import socket
import ssl
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import h11

from expofuse.errors import OptionError
from service.errors import JobsSetupError
from service.settings import JobSettings

MAX_URL_CHARACTERS: Final = 255
"""As every other option of a form."""

TIMEOUT_S: Final = 15.0
"""From looking the name up to the end of the answer."""

MAX_ANSWER_HEAD_BYTES: Final = 16_384
MAX_ANSWER_BYTES: Final = 65_536
"""What is read of an answer, and thrown away, before the connection is closed."""

SECRET_PREFIX: Final = "whsec_"
MIN_SECRET_BYTES, MAX_SECRET_BYTES = 24, 64
"""As the specification recommends them."""

MAX_PORT: Final = 65_535
_PORTS = {"https": 443, "http": 80}
_ORIGIN = (
    r"(?:(?P<scheme>https?)://)?(?P<host>[A-Za-z0-9.-]+|\[[0-9A-Fa-f:.]+\])(?::(?P<port>\d{1,5}))?"
)
_LISTED = re.compile(_ORIGIN)
_URL = re.compile(_ORIGIN + r"(?P<target>/[!\"$-\[\]-~]*)?")
"""Visible ASCII without `#` and the backslash in its target, and no name of a user."""

Network = ipaddress.IPv4Network | ipaddress.IPv6Network


class WebhookError(Exception):
    """A webhook was not taken: no connection, no answer in time, or none of success.

    Attributes:
        is_final: Another attempt would have no other end.
    """

    def __init__(self, message: str, *, is_final: bool = False) -> None:
        super().__init__(message)
        self.is_final = is_final


@dataclass(frozen=True, slots=True)
class Origin:
    """A scheme, a host in small letters and a port."""

    scheme: str
    host: str
    port: int


@dataclass(frozen=True, slots=True)
class Target:
    """Where one webhook goes.

    Attributes:
        origin: To which service.
        path: And the query.
    """

    origin: Origin
    path: str


@dataclass(frozen=True, slots=True)
class ListedHosts:
    """What an operator lists.

    Attributes:
        origins: Where webhooks may go.
        networks: Whose addresses these may have, beside public ones.
    """

    origins: frozenset[Origin]
    networks: tuple[Network, ...]

    @classmethod
    def read(cls, text: str | None) -> "ListedHosts":
        """Read the setting.

        Raises:
            JobsSetupError: An item is neither a host nor a network.

        Example:
            >>> ListedHosts.read("hooks.example:8443, 10.0.0.0/8").networks
            (IPv4Network('10.0.0.0/8'),)
        """
        origins: set[Origin] = set()
        networks: list[Network] = []
        for item in (one.strip() for one in (text or "").split(",") if one.strip()):
            found = _LISTED.fullmatch(item)
            if found is not None and int(found["port"] or 0) <= MAX_PORT:
                origin = _read_origin(found)
                origins.add(origin)
                networks += _network_of(origin.host)
                continue
            try:
                networks.append(ipaddress.ip_network(item))
            except ValueError as cause:
                raise JobsSetupError(
                    "expected EXPOFUSE_JOBS__WEBHOOK_HOSTS as hosts, host:port, http://host:port "
                    f"and networks, separated by commas, got '{item}'"
                ) from cause
        return cls(frozenset(origins), tuple(networks))

    def check(self, url: str) -> Target:
        """Where a webhook that a client asks for goes.

        Raises:
            OptionError: Not to a host that is listed.
        """
        if not self.origins:
            raise OptionError(
                "expected no webhook: the operator of this service lists no hosts for them"
            )
        found = _URL.fullmatch(url) if len(url) <= MAX_URL_CHARACTERS else None
        if found is None or found["scheme"] is None:
            raise OptionError(
                f"expected webhook as a URL of at most {MAX_URL_CHARACTERS} characters without a "
                "user and a fragment, got another"
            )
        origin = _read_origin(found)
        if origin not in self.origins:
            raise OptionError(
                "expected webhook as a URL of a host that the operator of this service lists, with "
                "its scheme and port, got another"
            )
        return Target(origin, found["target"] or "/")

    def admits(self, address: str) -> bool:
        """Whether a connection may be made to an address that a listed name has.

        Example:
            >>> hosts = ListedHosts.read("hooks.example, 10.0.0.0/8")
            >>> [hosts.admits(one) for one in ("1.1.1.1", "127.0.0.1", "10.1.2.3", "::ffff:7f00:1")]
            [True, False, True, False]
        """
        ip = ipaddress.ip_address(address)
        if isinstance(ip, ipaddress.IPv6Address) and ip.ipv4_mapped is not None:
            ip = ip.ipv4_mapped
        is_public = ip.is_global and not ip.is_multicast
        return is_public or any(ip in one for one in self.networks if one.version == ip.version)


def read_secret(settings: JobSettings) -> bytes:
    """The secret that webhooks are signed with; empty where no hosts are listed.

    Raises:
        JobsSetupError: There is none, or it is not of the form that it should have.
    """
    if settings.webhook_hosts is None:
        return b""
    if settings.webhook_secret_file is not None:
        text = _read_file(settings.webhook_secret_file)
    elif settings.webhook_secret is not None:
        text = settings.webhook_secret.get_secret_value()
    else:
        raise JobsSetupError(
            "expected EXPOFUSE_JOBS__WEBHOOK_SECRET or EXPOFUSE_JOBS__WEBHOOK_SECRET_FILE beside "
            "EXPOFUSE_JOBS__WEBHOOK_HOSTS, got neither"
        )
    try:
        secret = base64.b64decode(text.strip().removeprefix(SECRET_PREFIX), validate=True)
    except (binascii.Error, ValueError):
        secret = b""
    if not MIN_SECRET_BYTES <= len(secret) <= MAX_SECRET_BYTES:
        raise JobsSetupError(
            f"expected the secret of webhooks as base64 of {MIN_SECRET_BYTES} to "
            f"{MAX_SECRET_BYTES} bytes, got another"
        )
    return secret


def sign(secret: bytes, *, message_id: str, timestamp_s: int, body: bytes) -> dict[str, str]:
    """The headers by which a receiver knows that a webhook is ours, and which one it is.

    Args:
        secret: Shared with the receiver.
        message_id: The same in all attempts at one webhook.
        timestamp_s: Of this attempt, seconds since 1970.
        body: What is sent.

    Example:
        >>> secret = base64.b64decode("MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
        >>> message = {"message_id": "msg_p5jXN8AQM9LWM0D4loKWxJek", "timestamp_s": 1614265330}
        >>> sign(secret, **message, body=b'{"test": 2432232314}')["webhook-signature"]
        'v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE='
    """
    signed = f"{message_id}.{timestamp_s}.".encode("ascii") + body
    digest = hmac.new(secret, signed, hashlib.sha256).digest()
    return {
        "webhook-id": message_id,
        "webhook-timestamp": str(timestamp_s),
        "webhook-signature": "v1," + base64.b64encode(digest).decode("ascii"),
    }


async def send(
    target: Target, listed: ListedHosts, headers: Mapping[str, str], body: bytes
) -> None:
    """Send one webhook.

    Args:
        target: From `ListedHosts.check`.
        listed: To which addresses.
        headers: Beside those of HTTP itself.
        body: JSON.

    Raises:
        WebhookError: It was not taken.
    """
    try:
        async with asyncio.timeout(TIMEOUT_S):
            status = await _exchange(target, listed, headers, body)
    except TimeoutError as cause:
        raise WebhookError(f"no answer within {TIMEOUT_S:g} s") from cause
    except (OSError, h11.ProtocolError) as cause:
        raise WebhookError(f"no answer: {type(cause).__name__}") from cause
    if not 200 <= status < 300:
        # "410 Gone" asks to be left alone; a redirect is an answer like any other that is not 2xx.
        raise WebhookError(f"expected an answer of success, got {status}", is_final=status == 410)


async def _exchange(
    target: Target, listed: ListedHosts, headers: Mapping[str, str], body: bytes
) -> int:
    reader, writer = await _connect(target.origin, listed)
    try:
        connection = h11.Connection(h11.CLIENT, max_incomplete_event_size=MAX_ANSWER_HEAD_BYTES)
        request = h11.Request(
            method="POST",
            target=target.path,
            headers=[
                ("Host", _write_host(target.origin)),
                ("Content-Type", "application/json"),
                ("Content-Length", str(len(body))),
                ("Connection", "close"),
                *headers.items(),
            ],
        )
        for event in (request, h11.Data(data=body), h11.EndOfMessage()):
            writer.write(connection.send(event) or b"")
        await writer.drain()
        return await _read_status(connection, reader)
    finally:
        writer.transport.abort()
        with suppress(OSError):
            await writer.wait_closed()


async def _read_status(connection: h11.Connection, reader: asyncio.StreamReader) -> int:
    """The status of an answer, once the answer has come to its end or to its bound."""
    status, n_bytes = 0, 0
    while n_bytes <= MAX_ANSWER_BYTES:
        event = connection.next_event()
        if event is h11.NEED_DATA:
            connection.receive_data(await reader.read(MAX_ANSWER_HEAD_BYTES))
        elif isinstance(event, h11.Response):
            status = event.status_code
        elif isinstance(event, h11.Data):
            n_bytes += len(event.data)
        elif isinstance(event, h11.EndOfMessage | h11.ConnectionClosed):
            break
    return status


async def _connect(
    origin: Origin, listed: ListedHosts
) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """Connect to an address that the name has now and that is admitted; the first that answers."""
    loop = asyncio.get_running_loop()
    host = origin.host.strip("[]")
    found = await loop.getaddrinfo(host, origin.port, type=socket.SOCK_STREAM)
    addresses = list(dict.fromkeys(str(place[0]) for *_, place in found))
    admitted = [one for one in addresses if listed.admits(one)]
    if not admitted:
        raise WebhookError("expected a host with a public or a listed address, got another")
    failure: OSError = OSError()
    for address in admitted:
        try:
            if origin.scheme == "http":
                return await asyncio.open_connection(address, origin.port)
            context = ssl.create_default_context()
            return await asyncio.open_connection(
                address, origin.port, ssl=context, server_hostname=host
            )
        except OSError as cause:
            failure = cause
    raise failure


def _read_origin(found: re.Match[str]) -> Origin:
    scheme = found["scheme"] or "https"
    host = found["host"].lower()
    return Origin(scheme, host, int(found["port"] or _PORTS[scheme]))


def _write_host(origin: Origin) -> str:
    is_usual = origin.port == _PORTS[origin.scheme]
    return origin.host if is_usual else f"{origin.host}:{origin.port}"


def _network_of(host: str) -> list[Network]:
    """The network of an address that is listed as a host; none of a name."""
    try:
        return [ipaddress.ip_network(host.strip("[]"))]
    except ValueError:
        return []


def _read_file(path: Path) -> str:
    try:
        return path.read_text("ascii")
    except (OSError, UnicodeDecodeError) as cause:
        raise JobsSetupError(
            "expected EXPOFUSE_JOBS__WEBHOOK_SECRET_FILE to be a file of text that can be read"
        ) from cause
