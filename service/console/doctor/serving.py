"""Examines what serving needs: settings, weights, shared memory, open files, memory, the port."""

import errno
import http.client
import os
import socket
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path

from expofuse.bundled_weights import DEFAULT_WEIGHTS, locate_weights
from model.errors import WeightsError
from model.manifest import count_parameters, read_manifest
from service.console.doctor.finding import Finding

MIB = 2**20
ANSWER_TIMEOUT_S = 3.0


def examine_serving() -> Iterator[Finding]:
    """What `expofuse serve` would meet; of an installation without it, the weights alone."""
    try:
        from service.settings import SettingsError, load_settings
    except ImportError:
        yield _examine_weights(locate_weights(DEFAULT_WEIGHTS))
        return
    try:
        settings = load_settings()
    except SettingsError as error:
        yield Finding("settings", "wrong", str(error), "docs/settings.md lists every setting")
        return
    yield Finding("settings", "well", _name_settings())
    if settings.keys.file is not None:
        yield _examine_keys(settings.keys.file)
    for directory in settings.weights_directories:
        yield _examine_weights(directory)
    from service.worst_case import count_memory

    yield _examine_shared_memory(count_memory(settings)["shared memory"])
    yield _examine_open_files(settings.limits.max_connections)
    yield _examine_memory(count_memory(settings))
    yield _examine_sandbox(settings.codec.sandbox)
    yield examine_port(settings.host, settings.port)
    if settings.metrics_port is not None:
        yield examine_port(settings.host, settings.metrics_port, name="port of the metrics")


def _name_settings() -> str:
    names = sorted(key for key in os.environ if key.upper().startswith("EXPOFUSE_"))
    return ", ".join(names) if names else "all at their defaults"


def _examine_keys(path: Path) -> Finding:
    from service.errors import KeyFileError
    from service.keys.key_file import read_keys

    try:
        records = read_keys(path)
    except KeyFileError as error:
        advice = "`expofuse keys add NAME` makes one where EXPOFUSE_KEYS__FILE says"
        return Finding("keys", "wrong", error.message, advice)
    now = datetime.now(UTC)
    usable = sum(one.find_state(now) == "usable" for one in records)
    found = f"{len(records)} in the file, {usable} of them usable"
    if usable:
        return Finding("keys", "well", found)
    return Finding("keys", "note", f"{found}: nobody is let in", "`expofuse keys add NAME`")


def _examine_weights(directory: Path) -> Finding:
    name = f"weights {directory.name}"
    try:
        manifest = read_manifest(directory)
        parameters = count_parameters(manifest, directory)
    except WeightsError as error:
        return Finding(name, "wrong", error.message, "`expofuse weights list` says what is there")
    missing = [one for one in manifest.files if not (directory / one).is_file()]
    if missing:
        return Finding(name, "wrong", f"without {', '.join(missing)}", "install expofuse again")
    return Finding(
        name, "well", f"{parameters:,} parameters; `expofuse weights verify` checks them wholly"
    )


def _examine_shared_memory(wanted_bytes: int) -> Finding:
    from service.processes.shared_memory import MOUNT, shared_memory_free_bytes

    try:
        free_bytes = shared_memory_free_bytes()
    except OSError as error:
        return Finding("shared memory", "wrong", f"{MOUNT}: {error.strerror}", f"mount {MOUNT}")
    found = f"{free_bytes // MIB} MiB free in {MOUNT}, {wanted_bytes // MIB} MiB wanted"
    if free_bytes >= wanted_bytes:
        return Finding("shared memory", "well", found)
    return Finding(
        "shared memory",
        "note",
        f"{found}: fewer megapixels are taken at a time",
        "give a container more by --shm-size, shm_size, or an emptyDir of medium Memory; or lower "
        "EXPOFUSE_LIMITS__MAX_MEGAPIXELS_IN_FLIGHT",
    )


def _examine_open_files(max_connections: int) -> Finding:
    import resource

    from service.lifecycle import RESERVED_FILES

    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = max_connections + RESERVED_FILES
    has_enough = hard == resource.RLIM_INFINITY or hard >= wanted
    allowed = "no limit" if hard == resource.RLIM_INFINITY else f"{hard} allowed"
    found = f"{allowed}, {wanted} wanted"
    if has_enough:
        return Finding("open files", "well", found)
    return Finding(
        "open files",
        "note",
        f"{found}: fewer connections are taken",
        "raise the limit (ulimit -Hn, LimitNOFILE, --ulimit nofile), or lower "
        "EXPOFUSE_LIMITS__MAX_CONNECTIONS",
    )


def _examine_memory(most: Mapping[str, int]) -> Finding:
    """Memory of the machine or of the container, beside what all processes together may take."""
    from service.processes.control_groups import find_memory_bytes

    total_bytes, most_bytes = find_memory_bytes(), sum(most.values())
    parts = ", ".join(f"{kind} {one // MIB}" for kind, one in most.items())
    found = f"{total_bytes // MIB} MiB; at worst {most_bytes // MIB} MiB are used ({parts})"
    if total_bytes >= most_bytes:
        return Finding("memory", "well", found)
    return Finding(
        "memory",
        "note",
        found,
        "lower EXPOFUSE_CODEC__PROCESSES, EXPOFUSE_CODEC__MEMORY_BYTES, "
        "EXPOFUSE_LIMITS__MAX_UPLOAD_BYTES or "
        "EXPOFUSE_LIMITS__MAX_MEGAPIXELS_IN_FLIGHT where requests of many large pictures come",
    )


def _examine_sandbox(mode: str) -> Finding:
    """What codec processes are kept in by."""
    from service.processes.confinement import ALL_BARS, find_bars

    name = "codec sandbox"
    if mode == "off":
        return Finding(
            name, "note", "turned off", "unset EXPOFUSE_CODEC__SANDBOX, if that is not meant"
        )
    bars = find_bars()
    found = ", ".join(bars) or "nothing"
    missing = [bar for bar in ALL_BARS if bar not in bars]
    if not missing:
        return Finding(name, "well", found)
    return Finding(
        name,
        "wrong" if mode == "require" else "note",
        f"{found}; without {', '.join(missing)}",
        "use a kernel from 5.13 on with Landlock and seccomp, and a container that may use them",
    )


def examine_port(host: str, port: int, *, name: str = "port") -> Finding:
    """Whether the service could listen there, or who does.

    Args:
        host: Address to listen on.
        port: Port; 0 stands for any free one.
        name: What is examined.
    """
    place = f"{host}:{port}"
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            if error.errno != errno.EADDRINUSE:
                advice = "set EXPOFUSE_HOST and EXPOFUSE_PORT to what this machine lets you use"
                return Finding(name, "wrong", f"{place}: {error.strerror}", advice)
        else:
            return Finding(name, "well", f"{place} is free")
    if _answers(host, port):
        return Finding(name, "note", f"{place} is taken by a running expofuse", "nothing to do")
    return Finding(name, "wrong", f"{place} is taken by another programme", "set EXPOFUSE_PORT")


def _answers(host: str, port: int) -> bool:
    local = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)
    connection = http.client.HTTPConnection(local, port, timeout=ANSWER_TIMEOUT_S)
    try:
        connection.request("GET", "/healthz")
        response = connection.getresponse()
        if response.status == http.client.UNAUTHORIZED:  # One whose health is closed, too.
            return 'realm="expofuse"' in response.getheader("WWW-Authenticate", "")
        return response.read(4096).replace(b" ", b"") == b'{"status":"ok"}'
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()
