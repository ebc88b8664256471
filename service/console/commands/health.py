"""`expofuse health`: says by its exit code whether a service is ready; made for containers."""

import http.client
import json
import os
import ssl
import sys
from urllib.parse import SplitResult, urlsplit

import click

from expofuse.api_key import (
    API_KEY_FILE_VARIABLE,
    API_KEY_VARIABLE,
    find_api_key,
    write_authorization,
)
from service.console.exits import EXIT_FAILED, explaining
from service.console.output import json_option, write_json
from service.console.own_url import find_own_url


@click.command("health")
@click.option(
    "--server", "--url", "server", metavar="URL", help="Default: EXPOFUSE_PORT of 127.0.0.1."
)
@click.option("--alive", is_flag=True, help="Whether it answers at all, ready or not.")
@click.option("--timeout", "timeout_s", type=click.FloatRange(0.1), default=4.0, show_default=True)
@json_option
def command(server: str | None, alive: bool, timeout_s: float, as_json: bool) -> int:
    """Ask a service whether it is ready, without proxies and without the client's library.

    \b
    Examples:
      expofuse health && echo ready
      expofuse health --server https://fusion.example --timeout 10
      HEALTHCHECK CMD ["expofuse", "health"]

    Over https it trusts known authorities or those in the file that SSL_CERT_FILE names; without
    --server, the certificate that EXPOFUSE_TLS__CERTIFICATE names.

    Exit codes: 0 ready, 1 not ready or no answer, 2 misused.
    """
    certificate = None if server else os.environ.get("EXPOFUSE_TLS__CERTIFICATE")
    url = server or find_own_url()
    path = "healthz" if alive else "readyz"
    trust = _trust(certificate) if certificate else None
    with explaining(as_json=as_json):
        is_well, said = _ask(url, path, timeout_s, trust=trust)
    if as_json:
        write_json({"is_well": is_well, "server": url, "said": said})
    else:
        sys.stdout.write(f"{said}\n")
    return 0 if is_well else EXIT_FAILED


def _trust(certificate: str) -> ssl.SSLContext:
    """Trust this certificate alone, by whatever name it is for."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    with explaining():
        context.load_verify_locations(certificate)
    return context


def _ask(
    url: str, path: str, timeout_s: float, *, trust: ssl.SSLContext | None = None
) -> tuple[bool, str]:
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or parts.hostname is None:
        raise click.UsageError(f"expected a URL that begins with http:// or https://, got '{url}'")
    connection = _connect(parts, timeout_s, trust)
    key = find_api_key()
    headers = {} if key is None else {"Authorization": write_authorization(key)}
    try:
        connection.request("GET", f"{parts.path.rstrip('/')}/{path}", headers=headers)
        response = connection.getresponse()
        if response.status == http.client.UNAUTHORIZED:
            return False, _explain_refusal(has_key=key is not None)
        return response.status == http.client.OK, _read_word(response.read(4096), response.status)
    except (OSError, http.client.HTTPException) as error:
        return False, f"no answer from {parts.netloc}: {error}"
    finally:
        connection.close()


def _connect(
    parts: SplitResult, timeout_s: float, trust: ssl.SSLContext | None
) -> http.client.HTTPConnection:
    host = parts.hostname or ""
    if parts.scheme == "https":
        return http.client.HTTPSConnection(host, parts.port, timeout=timeout_s, context=trust)
    return http.client.HTTPConnection(host, parts.port, timeout=timeout_s)


def _explain_refusal(*, has_key: bool) -> str:
    if has_key:
        return "the API key is not in force there"
    return f"an API key is needed there: set {API_KEY_VARIABLE} or {API_KEY_FILE_VARIABLE}"


def _read_word(body: bytes, status: int) -> str:
    """What the answer says: its status word, or the detail of its problem document."""
    try:
        document = json.loads(body)
        return str(document.get("status") if status == http.client.OK else document["detail"])
    except (ValueError, KeyError, AttributeError):
        return f"status {status}"
