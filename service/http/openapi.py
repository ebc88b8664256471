"""Writes the OpenAPI description of the service to standard output.

`python -m service.http.openapi` writes what `/openapi.json` answers with, and starts nothing.
"""

import json
import sys

from service.http.app import create_app
from service.lifecycle import Service
from service.settings import Settings


def describe_api() -> str:
    """The description as JSON, in lines that show a change; of a service as it is by default."""
    service = Service(Settings(metrics_port=None), worker_command=())
    return json.dumps(create_app(service).openapi(), indent=2, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    sys.stdout.write(describe_api())
