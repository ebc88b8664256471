"""Reads the settings once from the environment; typed, immutable after start."""

import difflib
import os
import re
from collections.abc import Mapping
from ipaddress import ip_network
from pathlib import Path
from typing import Annotated, Literal, get_args

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    NonNegativeFloat,
    NonNegativeInt,
    PositiveFloat,
    PositiveInt,
    SecretStr,
    ValidationError,
    ValidationInfo,
    field_validator,
    model_validator,
)
from pydantic_settings import BaseSettings, SettingsConfigDict

from expofuse.api_key import API_KEY_FILE_VARIABLE, API_KEY_VARIABLE
from expofuse.bundled_weights import DEFAULT_WEIGHTS, PACKAGED_WEIGHTS_DIR, locate_weights
from service.processes.confinement import SandboxMode
from service.processes.supervision_limits import SupervisionLimits

PREFIX = "EXPOFUSE_"
GROUP_DELIMITER = "__"
LIST_DELIMITER = ","
OTLP_ENDPOINTS = ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")
ANY_ORIGIN = "*"
NOTHING = "none"
_ORIGIN = re.compile(r"[a-z][a-z0-9+.-]*://[a-z0-9._:\[\]-]+")
MIB = 2**20
Port = Annotated[int, Field(ge=0, le=65_535)]


class SettingsError(ValueError):
    """A setting is unknown or has a value that it does not take; ends the start."""


class LimitSettings(BaseModel):
    """What one request, and all requests together, may ask for; published at `/limits`."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    max_body_bytes: PositiveInt = Field(256 * MIB, description="bytes of one request's body")
    max_upload_bytes: PositiveInt = Field(
        1024 * MIB, description="bytes of all bodies held at one time, before they are decoded"
    )
    max_megapixels: PositiveFloat = Field(64.0, description="megapixels of one image")
    max_side_px: PositiveInt = Field(16_384, description="longer side of one image, in pixels")
    max_megapixels_in_flight: PositiveFloat = Field(
        150.0,
        description="megapixels of all admitted pairs at one time; a 16-bit pair counts twice",
    )
    memory_bytes: PositiveInt | None = Field(
        None,
        description="bytes of memory that the budgets are lowered to; unset: what the machine or "
        "the container has",
    )
    max_jobs: PositiveInt = Field(64, description="jobs admitted at one time")
    max_wait_s: PositiveFloat = Field(
        10.0,
        description="seconds that the work before a new job may take; what would wait longer is "
        "refused at once",
    )
    caller_reserve: Annotated[float, Field(ge=0, le=0.5)] = Field(
        0.125,
        description="share of the budgets of jobs, megapixels and waiting time that stays for "
        "callers who hold no more than that; 0: none",
    )
    deadline_s: PositiveFloat = Field(
        120.0,
        description="seconds from the last byte of a request to its answer; a request may ask "
        "for less by `Prefer: wait`",
    )
    first_byte_timeout_s: PositiveFloat = Field(
        15.0, description="seconds that a new connection may stay without a request"
    )
    idle_timeout_s: PositiveFloat = Field(
        75.0,
        description="seconds that a connection may stay without a further request; longer than "
        "proxies keep theirs, so that none sends into one that is being closed",
    )
    head_timeout_s: PositiveFloat = Field(
        15.0, description="seconds that a request's line and headers may take to come"
    )
    receive_timeout_s: PositiveFloat = Field(
        600.0, description="seconds that a request's body may take to come"
    )
    min_receive_bytes_per_s: PositiveFloat = Field(
        8192.0, description="least rate at which a body comes, bytes per second"
    )
    receive_stall_timeout_s: PositiveFloat = Field(
        30.0,
        description="seconds that a body may be behind this rate, after which its client is cut "
        "off with 408",
    )
    max_head_bytes: Annotated[int, Field(ge=8192)] = Field(
        32_768, description="bytes of one request's line and headers together"
    )
    max_connections: PositiveInt = Field(
        512,
        description="open connections; an idle one gives way to a new one, or the new one gets 503",
    )
    max_response_bytes: PositiveInt = Field(
        512 * MIB,
        description="bytes of finished pictures that clients have not read yet; above it new "
        "requests are refused",
    )
    min_send_bytes_per_s: PositiveFloat = Field(
        8192.0, description="least rate at which a client reads its answer, bytes per second"
    )
    send_stall_timeout_s: PositiveFloat = Field(
        30.0,
        description="seconds that a client may be behind this rate, after which it is cut off",
    )
    retry_after_s: PositiveInt = Field(
        5,
        description="seconds that a refused client is asked to wait (`Retry-After`) where the "
        "measured rate of work does not tell",
    )

    @model_validator(mode="after")
    def _one_job_fits_the_whole(self) -> "LimitSettings":
        if self.max_body_bytes > self.max_upload_bytes:
            raise ValueError("max_body_bytes must not be above max_upload_bytes")
        if self.max_megapixels > self.max_megapixels_in_flight:
            raise ValueError("max_megapixels must not be above max_megapixels_in_flight")
        return self


class WorkerSettings(BaseModel):
    """How the device is driven, and how patiently child processes of both kinds are watched."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    precision: Literal["auto", "float32", "bfloat16", "float16"] = Field(
        "auto", description="precision of the network; `auto`: float32 on a CPU, float16 on CUDA"
    )
    threads: PositiveInt | None = Field(
        None, description="CPU threads of the network; unset: one for each core"
    )
    max_batch: PositiveInt | None = Field(
        None, description="windows in one micro-batch; unset: what the device prefers"
    )
    max_running: PositiveInt = Field(
        8, description="jobs whose windows share the device at one time; the others are queued"
    )
    start_timeout_s: PositiveFloat = Field(
        180.0, description="seconds that loading and warming up may take, of every child process"
    )
    stall_timeout_s: PositiveFloat = Field(
        60.0, description="seconds without a heartbeat after which a child process is replaced"
    )
    backoff_s: PositiveFloat = Field(
        0.5, description="seconds before a start that failed is tried again; doubles each time"
    )
    backoff_max_s: PositiveFloat = Field(30.0, description="longest of these waits, seconds")

    @property
    def supervision(self) -> SupervisionLimits:
        """How patient the supervisors of child processes are."""
        return SupervisionLimits(
            start_timeout_s=self.start_timeout_s,
            stall_timeout_s=self.stall_timeout_s,
            backoff_s=self.backoff_s,
            backoff_max_s=self.backoff_max_s,
        )


JpegCodec = Literal["libjpeg-turbo", "nvimagecodec"]


class CodecSettings(BaseModel):
    """How the processes that touch untrusted bytes are driven."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    processes: PositiveInt | None = Field(
        None, description="codec processes; unset: one for each core, 2 to 8"
    )
    timeout_s: PositiveFloat = Field(
        60.0, description="seconds that one decoding, alignment or encoding may take"
    )
    abandon_grace_s: NonNegativeFloat = Field(
        2.0, description="seconds that a call may go on once its client has left"
    )
    memory_bytes: PositiveInt = Field(
        4096 * MIB, description="private memory that one codec call may add, bytes"
    )
    cpu_s: PositiveFloat = Field(
        60.0, description="CPU seconds of one codec call, of all its threads"
    )
    recycle_calls: PositiveInt = Field(
        1000, description="calls after which a codec process is replaced by a new one"
    )
    recycle_growth_bytes: PositiveInt = Field(
        256 * MIB,
        description="private memory by which a codec process may have grown since it was warmed up "
        "before it is replaced by a new one, bytes",
    )
    sandbox: SandboxMode = Field(
        "auto",
        description="whether codec processes give up network, new files, programs and other "
        "processes: `auto`, as far as the system allows; `require`, or the service does not start; "
        "`off`",
    )
    jpeg: JpegCodec = Field(
        "libjpeg-turbo",
        description="what decodes and encodes JPEG files: `libjpeg-turbo`, on the CPU; "
        "`nvimagecodec`, large ordinary ones on the GPU of `DEVICE`, which needs the extra of that "
        "name",
    )

    @property
    def count(self) -> int:
        """Codec processes to start: as set, else one for each core that this process may use."""
        return self.processes or min(8, max(2, len(os.sched_getaffinity(0))))


class TlsSettings(BaseModel):
    """Files in PEM, for a service without a proxy in front; read again on SIGHUP."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    certificate: Path | None = Field(
        None,
        description="file of the certificate, the chain behind it; unset: HTTP without TLS",
    )
    key: Path | None = Field(None, description="file of the certificate's private key")
    key_password_file: Path | None = Field(
        None, description="file of the key's password, where it has one"
    )
    client_ca: Path | None = Field(
        None,
        description="file of certificates; only clients that one of them vouches for are served",
    )
    hsts_s: Annotated[int, Field(ge=0)] = Field(
        0,
        description="seconds for which browsers are to use TLS alone with this host name, every "
        "port of it (`Strict-Transport-Security`); 0: not said",
    )

    @model_validator(mode="after")
    def _certificate_and_key_come_together(self) -> "TlsSettings":
        if (self.certificate is None) != (self.key is None):
            raise ValueError("expected certificate and key, or neither; one of them is missing")
        if self.certificate is None and (self.client_ca or self.key_password_file or self.hsts_s):
            raise ValueError("expected certificate and key beside the other settings of TLS")
        return self


class CacheSettings(BaseModel):
    """What is kept of finished pictures, so that they are not made twice."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    bytes: NonNegativeInt = Field(
        0,
        description="bytes of finished pictures that are kept for equal requests, those used "
        "longest ago given up first; 0: none",
    )
    keyed_bytes: NonNegativeInt = Field(
        64 * MIB,
        description="bytes of finished pictures that are kept for requests that come again with "
        "their `Idempotency-Key`",
    )
    keyed_s: PositiveFloat = Field(
        600.0, description="seconds for which a picture and its `Idempotency-Key` are kept"
    )


Doors = Literal["health", "metrics", "docs", "page"]
DOORS: tuple[Doors, ...] = get_args(Doors)
CLIENT_VARIABLES = (API_KEY_VARIABLE, API_KEY_FILE_VARIABLE)
"""Those that begin as ours do, and that clients read."""


class KeySettings(BaseModel):
    """Who is let in; without a file everybody is."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    file: Path | None = Field(
        None,
        description="file of API keys, from `expofuse keys add`; unset: nobody needs a key",
    )
    open: str = Field(
        "health,docs,page",
        description="what needs no key, separated by commas: `health` (`/healthz`, `/readyz`), "
        "`metrics`, `docs` (with `/openapi.json` and `/problems`), `page`; `none`",
    )
    requests_per_minute: PositiveInt = Field(
        120, description="POST requests a minute of one key; a key may have its own limit"
    )
    megapixels_per_minute: PositiveInt = Field(
        1200,
        description="megapixels of fusions a minute of one key, counted as against the budget; "
        "a key may have its own limit",
    )
    concurrency: PositiveInt = Field(
        8, description="POST requests of one key at one time; a key may have its own limit"
    )
    wrong_per_minute: PositiveInt = Field(
        30,
        description="wrong keys a minute of one address that are verified; all further ones get "
        "429",
    )

    @field_validator("open")
    @classmethod
    def _doors_are_doors(cls, doors: str) -> str:
        if doors != NOTHING and not set(_split_list(doors)) <= set(DOORS):
            raise ValueError(f"expected {', '.join(DOORS)}, separated by commas, or {NOTHING}")
        return doors

    @property
    def open_doors(self) -> frozenset[str]:
        """What needs no key."""
        return frozenset(_split_list(self.open)) & set(DOORS)


class JobSettings(BaseModel):
    """How jobs are run and kept, and where their webhooks may go."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    keep_s: PositiveFloat = Field(
        86_400.0, description="seconds that the picture of a job is kept once it is done"
    )
    max_bytes: PositiveInt = Field(
        16_384 * MIB,
        description="bytes of all jobs in the state folder: exposures that wait, pictures that are "
        "kept, and room for those to come; the pictures done first give way",
    )
    max_waiting: PositiveInt = Field(1000, description="jobs that are accepted and not done")
    max_running: PositiveInt = Field(2, description="jobs that run at one time")
    patience_s: NonNegativeFloat = Field(
        30.0, description="seconds after which a job is begun though requests are being answered"
    )
    max_attempts: PositiveInt = Field(
        5, description="times that a job may be running when the service is killed"
    )
    webhook_hosts: str | None = Field(
        None,
        description="where webhooks may go, separated by commas: `host` or `host:port` for https, "
        "`http://host:port` without TLS, and networks as `10.0.0.0/8` whose addresses these hosts "
        "may have beside public ones; unset: nowhere",
    )
    webhook_secret: SecretStr | None = Field(
        None, description="what webhooks are signed with: base64 of 24 to 64 bytes, after `whsec_`"
    )
    webhook_secret_file: Path | None = Field(None, description="a file that holds it instead")
    webhook_retry_s: PositiveFloat = Field(
        21_600.0, description="seconds for which a webhook that fails is tried again"
    )


class Settings(BaseSettings):
    """All settings of the service; immutable after start."""

    model_config = SettingsConfigDict(
        env_prefix=PREFIX,
        env_nested_delimiter=GROUP_DELIMITER,
        env_ignore_empty=True,  # Compose and ConfigMaps write an unset variable as an empty one.
        extra="forbid",
        frozen=True,
    )
    host: str = Field("127.0.0.1", description="address to listen on")
    port: Port = Field(8000, description="port to listen on; 0: any free one")
    metrics_port: Port | None = Field(
        None, description="serve `/metrics` on a port of its own instead; unset: on the main one"
    )
    metrics_host: str | None = Field(
        None,
        description="address of this port, which may also reload the service; unset: as `HOST`",
    )
    trusted_proxies: str | None = Field(
        None,
        description="addresses and networks of proxies, separated by commas, whose "
        "`X-Forwarded-For` and `X-Forwarded-Proto` are believed; unset: nobody's are",
    )
    device: str = Field(
        "auto",
        pattern=r"^(auto|cpu|cuda(:\d+)?)$",
        description="`auto`, `cpu`, `cuda` or `cuda:N`",
    )
    weights: str = Field(
        DEFAULT_WEIGHTS,
        min_length=1,
        description="name-version below `WEIGHTS_DIR`, or the path of a weights directory; "
        "several, separated by commas: the first is the default",
    )
    weights_dir: Path = Field(
        PACKAGED_WEIGHTS_DIR, description="where weights lie; unset: `weights/` beside the packages"
    )
    drain_pause_s: NonNegativeFloat = Field(
        2.0, description="seconds between not ready and refusing, after SIGTERM"
    )
    drain_timeout_s: PositiveFloat = Field(
        60.0, description="seconds that accepted jobs have to finish after SIGTERM"
    )
    log_level: Literal["debug", "info", "warning", "error"] = Field(
        "info", description="least severe log line that is written"
    )
    cors_origins: str | None = Field(
        None,
        description="origins whose pages a browser lets call the service, as "
        "`https://example.org`, separated by commas; `*`: any; unset: none",
    )
    state_dir: Path | None = Field(
        None,
        description="folder on a local disk where jobs outlive the service; unset: there are none",
    )
    limits: LimitSettings = LimitSettings()
    worker: WorkerSettings = WorkerSettings()
    codec: CodecSettings = CodecSettings()
    tls: TlsSettings = TlsSettings()
    cache: CacheSettings = CacheSettings()
    keys: KeySettings = KeySettings()
    jobs: JobSettings = JobSettings()

    @field_validator("weights")
    @classmethod
    def _no_version_is_empty(cls, weights: str) -> str:
        if not all(_split_list(weights)):
            raise ValueError("expected weights versions separated by commas, one of them is empty")
        return weights

    @field_validator("codec")
    @classmethod
    def _a_device_for_files_is_there(
        cls, codec: CodecSettings, info: ValidationInfo
    ) -> CodecSettings:
        if codec.jpeg == "nvimagecodec" and info.data.get("device") == "cpu":
            raise ValueError(f"expected {PREFIX}DEVICE=cuda beside JPEG=nvimagecodec, got cpu")
        return codec

    @field_validator("cors_origins")
    @classmethod
    def _origins_are_origins(cls, origins: str | None) -> str | None:
        for origin in _split_list(origins or ANY_ORIGIN):
            if origin != ANY_ORIGIN and not _ORIGIN.fullmatch(origin):
                raise ValueError("expected origins as scheme://host or scheme://host:port, or *")
        return origins

    @field_validator("trusted_proxies")
    @classmethod
    def _proxies_are_networks(cls, proxies: str | None) -> str | None:
        for proxy in [] if proxies is None else _split_list(proxies):
            try:
                ip_network(proxy)
            except ValueError as cause:
                raise ValueError(
                    "expected addresses or networks, such as 10.0.0.7 or 10.0.0.0/8"
                ) from cause
        return proxies

    @property
    def proxies(self) -> list[str]:
        """Addresses and networks whose word about the client is taken."""
        return [] if self.trusted_proxies is None else _split_list(self.trusted_proxies)

    @property
    def allowed_origins(self) -> tuple[str, ...]:
        """Origins whose pages may call the service; `*` alone stands for any."""
        return () if self.cors_origins is None else tuple(_split_list(self.cors_origins))

    @property
    def jpeg_device(self) -> str | None:
        """What codec processes decode and encode JPEG files on beside the CPU; None: on nothing."""
        if self.codec.jpeg == "libjpeg-turbo":
            return None
        return self.device if self.device.startswith("cuda:") else "cuda:0"

    @property
    def weights_directories(self) -> tuple[Path, ...]:
        """Every weights directory to serve, at least one; the first is the default."""
        versions = _split_list(self.weights)
        return tuple(locate_weights(version, self.weights_dir) for version in versions)


def _split_list(text: str) -> list[str]:
    return [one.strip() for one in text.split(LIST_DELIMITER)]


def setting_names() -> dict[str, tuple[str, str]]:
    """Every variable the service reads, with its default and its meaning.

    Returns:
        Environment variable -> (default as text, empty when unset; one phrase of meaning).
    """
    names: dict[str, tuple[str, str]] = {}
    for name, field in Settings.model_fields.items():
        group = field.annotation
        if isinstance(group, type) and issubclass(group, BaseModel):
            for leaf, inner in group.model_fields.items():
                variable = f"{PREFIX}{name}{GROUP_DELIMITER}{leaf}".upper()
                names[variable] = (_default_text(inner.default), inner.description or "")
        else:
            names[f"{PREFIX}{name}".upper()] = (
                _default_text(field.default),
                field.description or "",
            )
    return names


def load_settings() -> Settings:
    """Read the environment; a misspelt variable is an error, not a default.

    Returns:
        The settings, immutable.

    Raises:
        SettingsError: A variable with our prefix is unknown, or a value is not accepted; the
            message is one sentence for the person who set it.
    """
    known = setting_names()
    ours = {key.upper() for key in os.environ if key.upper().startswith(PREFIX)}
    for name in sorted(ours - known.keys() - set(CLIENT_VARIABLES)):
        near = difflib.get_close_matches(name, known, n=1)
        hint = f"; did you mean {near[0]}?" if near else ""
        raise SettingsError(f"{name} is not a setting of this service{hint}")
    try:
        return Settings()
    except ValidationError as cause:
        raise SettingsError(_explain(cause)) from cause


def wants_traces(environment: Mapping[str, str] = os.environ) -> bool:
    """Whether OpenTelemetry's standard variables ask for traces; OTLP over HTTP is what there is.

    Args:
        environment: The variables; an empty one counts as unset.

    Example:
        >>> endpoint = {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://collector:4318"}
        >>> wants_traces({}), wants_traces(endpoint), wants_traces({"OTEL_TRACES_EXPORTER": "otlp"})
        (False, True, True)
        >>> wants_traces(endpoint | {"OTEL_TRACES_EXPORTER": "none"})
        False
        >>> wants_traces(endpoint | {"OTEL_SDK_DISABLED": "true"})
        False
    """
    if environment.get("OTEL_SDK_DISABLED", "").strip().lower() == "true":
        return False
    exporters = environment.get("OTEL_TRACES_EXPORTER", "")
    if exporters:
        return "otlp" in _split_list(exporters)
    return any(environment.get(name) for name in OTLP_ENDPOINTS)


def _default_text(default: object) -> str:
    if default is None or default is PACKAGED_WEIGHTS_DIR:
        return ""
    return str(default)


def _explain(cause: ValidationError) -> str:
    first = cause.errors(include_url=False)[0]
    where = GROUP_DELIMITER.join(str(part) for part in first["loc"]).upper()
    reason = first["msg"].removeprefix("Value error, ")
    given = first["input"]
    got = f", got '{given}'" if isinstance(given, str) else ""
    return f"{PREFIX}{where}: {reason}{got}"
