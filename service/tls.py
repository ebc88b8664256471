"""Reads the certificate and the key of the service, and new ones while it runs.

What is read is tried before it is used: by a handshake with itself, in memory.
"""

import logging
import ssl
import time
from pathlib import Path

from service.errors import TlsError
from service.metrics import Metrics
from service.settings import TlsSettings

MAX_PASSWORD_BYTES = 1024
EXPIRED, NOT_YET_VALID = 10, 9
"""What OpenSSL calls a certificate whose time is over, or has not come (`X509_V_ERR_...`)."""

logger = logging.getLogger(__name__)


class ServerTls:
    """What connections are encrypted with.

    Args:
        settings: Where the files lie; a certificate and a key are set.
        metrics: Where reloads and the end of the certificate are shown.

    Attributes:
        context: Of every connection; a reload changes what new ones get.

    Raises:
        TlsError: A file cannot be read, or they do not belong together.
    """

    def __init__(self, settings: TlsSettings, metrics: Metrics) -> None:
        self._settings = settings
        self._metrics = metrics
        self._try()
        self.context = self._load()
        if settings.client_ca is not None:
            self.context.verify_mode = ssl.CERT_REQUIRED
            try:
                self.context.load_verify_locations(settings.client_ca)
            except OSError as cause:
                raise _explain(cause, settings.client_ca, "certificates") from cause

    async def reload(self) -> None:
        """Take up a certificate and a key that were put in the place of the old ones.

        Raises:
            TlsError: They are not sound; the old ones stay.
        """
        try:
            self._try()
            self._load(self.context)
        except TlsError:
            self._metrics.certificate_reloads.labels("refused").inc()
            raise
        self._metrics.certificate_reloads.labels("reloaded").inc()

    def _load(self, context: ssl.SSLContext | None = None) -> ssl.SSLContext:
        settings = self._settings
        assert settings.certificate is not None
        assert settings.key is not None
        if context is None:
            context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        try:
            settings.key.read_bytes()  # What it lacks, OpenSSL does not say.
            # Given none, OpenSSL would ask the terminal.
            context.load_cert_chain(settings.certificate, settings.key, self._read_password)
        except OSError as cause:
            raise _explain(cause, settings.key, "the certificate's key") from cause
        return context

    def _read_password(self) -> str:
        path = self._settings.key_password_file
        if path is None:
            raise TlsError("expected EXPOFUSE_TLS__KEY_PASSWORD_FILE, as the key is encrypted")
        try:
            return path.read_text()[:MAX_PASSWORD_BYTES].rstrip("\r\n")
        except (OSError, UnicodeDecodeError) as cause:
            raise _explain(cause, path, "a password") from cause

    def _try(self) -> None:
        """Shake hands with a client that trusts this certificate and no other."""
        certificate = self._settings.certificate
        assert certificate is not None
        client_context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        client_context.check_hostname = False
        client_context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
        try:
            client_context.load_verify_locations(certificate)
        except OSError as cause:  # As is ssl.SSLError.
            raise _explain(cause, certificate, "a certificate") from cause
        try:
            expires_s = _shake_hands(self._load(), client_context)
        except ssl.SSLCertVerificationError as error:
            if error.verify_code not in (EXPIRED, NOT_YET_VALID):
                raise _explain(error, certificate, "a certificate") from error
            logger.warning(
                "clients will refuse the certificate of this service",
                extra={"reason": error.verify_message},
            )
            expires_s = time.time()  # As one that ends now: it is of no use.
        self._metrics.certificate_expiry_timestamp_seconds.set(expires_s)


def _shake_hands(server_context: ssl.SSLContext, client_context: ssl.SSLContext) -> float:
    """Shake hands; when the certificate ends, in seconds since 1970."""
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    server = server_context.wrap_bio(to_server, to_client, server_side=True)
    client = client_context.wrap_bio(to_client, to_server)
    waiting = [client, server]
    while waiting:
        for side in list(waiting):
            try:
                side.do_handshake()
            except ssl.SSLWantReadError:
                continue
            waiting.remove(side)
    certificate = client.getpeercert()
    assert certificate is not None
    return float(ssl.cert_time_to_seconds(str(certificate["notAfter"])))


def _explain(cause: Exception, path: Path, expected: str) -> TlsError:
    if isinstance(cause, ssl.SSLError):
        reason = cause.reason.replace("_", " ").lower() if cause.reason else "nothing in PEM"
    else:
        reason = getattr(cause, "strerror", None) or "no text"
    return TlsError(f"expected {expected} in '{path}': {reason}")
