"""Exit status 0 while this container's service is ready; the image's HEALTHCHECK."""

import http.client
import os
import sys

TIMEOUT_S = 4


def main() -> int:
    """Ask `/readyz` over loopback, without proxies."""
    port = int(os.environ.get("EXPOFUSE_PORT") or "8000")
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=TIMEOUT_S)
    try:
        connection.request("GET", "/readyz")
        return 0 if connection.getresponse().status == 200 else 1
    except (OSError, http.client.HTTPException):
        return 1
    finally:
        connection.close()


if __name__ == "__main__":
    sys.exit(main())
