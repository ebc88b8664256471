"""The image on a real Docker Engine: what is in it, docker-compose.yml, three behind nginx.

Needs root, Debian's docker.io, buildah, mmdebstrap and, for some tests, prometheus, nginx and
busybox; 3 GB of disk and some minutes. No registry of images is asked.
"""

import json
import os
import re
import shutil
import subprocess
import threading
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from importlib.metadata import distributions
from pathlib import Path
from typing import Any, get_args

import cv2
import httpx
import numpy as np
import psutil
import pytest

from service.request_record import Stage
from tests.deploy.engine import (
    IMAGE,
    Engine,
    Project,
    build_image,
    finish,
    read_project,
    running_engine,
    running_project,
    skip_without_engine,
    wait_until,
)
from tests.server import free_port

pytestmark = pytest.mark.slow

MEGABYTE = 10**6
GIBIBYTE = 2**30
LARGEST_IMAGE_BYTES = 350 * MEGABYTE
USER_ID = 10001
MEMORY_BYTES = 4 * GIBIBYTE
WORKER = "service.device.child"
# Programs print what a container's user sees of it; the engine's own client needs no program in it.
LIST_WRITABLE = """
import os
found = [d for d, _, _ in os.walk('/') if os.access(d, os.W_OK) and not d.startswith('/proc')]
found += [f'{d}/{n}' for d, _, names in os.walk('/') if not d.startswith(('/proc', '/sys', '/dev'))
          for n in names if os.access(f'{d}/{n}', os.W_OK) and not os.path.islink(f'{d}/{n}')]
print(*found)
"""
FIND_WORKER = f"""
import pathlib
pids = [int(p.parent.name) for p in pathlib.Path('/proc').glob('[0-9]*/cmdline')
        if b'{WORKER}' in p.read_bytes().split(b'\\0')]
"""
WAIT_FOR_WORK = """
import re, time, urllib.request
deadline = time.monotonic() + 120
jobs = 0.0
while not jobs:
    assert time.monotonic() < deadline
    with urllib.request.urlopen('http://127.0.0.1:8000/metrics') as answer:
        jobs = float(re.search(r'^expofuse_jobs_in_flight (.*)$', answer.read().decode(), re.M)[1])
"""

Pair = tuple[bytes, bytes]


@pytest.fixture(scope="module")
def engine() -> Iterator[Engine]:
    skip_without_engine()
    with running_engine() as engine:
        build_image(engine)
        yield engine


# --- the image ---------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def root(engine: Engine) -> Path:
    """Every file of the image, unpacked."""
    root = engine.folder / "root"
    root.mkdir()
    container = engine.docker("create", IMAGE)
    archive = f"{root}.tar"
    engine.docker("export", "--output", archive, container)
    subprocess.run(["tar", "-xf", archive, "-C", root], check=True)
    Path(archive).unlink()
    engine.docker("rm", container)
    return root


def packages_of(root: Path) -> Path:
    (packages,) = root.glob("opt/venv/lib/python3.11/site-packages")
    return packages


def test_image_is_no_larger_than_promised(engine: Engine) -> None:
    assert engine.inspect(IMAGE)["Size"] <= LARGEST_IMAGE_BYTES


def test_image_has_the_service_and_the_weights_but_no_tools(root: Path, repository: Path) -> None:
    names = {path.name for path in packages_of(root).iterdir()}
    assert {"onnxruntime", "fastapi"} <= names
    assert not {"torch", "tensorboard", "scipy", "onnx", "pytest", "mypy", "pip"} & names
    ours = {path.name for path in (root / "opt/expofuse").iterdir()}
    assert {"expofuse", "model", "service", "weights"} <= ours
    assert "trainer" not in ours
    weights = repository / "weights"
    for manifest in weights.glob("*/manifest.json"):
        for path in manifest.parent.iterdir():
            copy = root / "opt/expofuse/weights" / path.relative_to(weights)
            assert copy.read_bytes() == path.read_bytes()
    programs = {path.name for path in (root / "usr/bin").iterdir()}
    assert not {"sh", "bash", "apt", "dpkg", "perl"} & programs


def test_image_has_neither_video_decoders_nor_the_openssl_that_came_with_them(root: Path) -> None:
    libraries = {path.name for path in packages_of(root).glob("*.libs/*")}
    assert {"libavif", "libopenblasp"} <= {name.split("-")[0] for name in libraries}
    assert not [name for name in libraries if re.match(r"lib(vpx|ssl|crypto|swresample)\b", name)]


def test_compiled_modules_are_used_whatever_the_time_of_their_source(root: Path) -> None:
    # PEP 552: four bytes of magic, then flags; 1 says that nothing is compared with the source.
    flags = {path: path.read_bytes()[4:8] for path in root.rglob("*.pyc")}
    assert len(flags) > 1000
    assert [path for path, flag in flags.items() if flag != b"\x01\x00\x00\x00"] == []


def test_nobody_gains_rights_by_a_program_of_the_image(root: Path) -> None:
    modes = {path: path.lstat().st_mode for path in root.rglob("*") if not path.is_symlink()}
    assert len(modes) > 1000
    assert [path for path, mode in modes.items() if mode & 0o6000] == []


def test_user_of_the_image_can_write_nowhere_but_where_it_should(engine: Engine) -> None:
    found = engine.docker("run", "--rm", "--network", "none", IMAGE, "python", "-c", LIST_WRITABLE)
    # Of /dev/mqueue, which every container has, nothing is used.
    assert set(found.split()) == {"/tmp", "/dev/shm", "/dev/mqueue"}


def test_labels_say_what_the_image_is_a_build_of(engine: Engine, repository: Path) -> None:
    config = engine.inspect(IMAGE)["Config"]
    labels = {name.rpartition(".")[2]: value for name, value in config["Labels"].items()}
    version = re.search(r'^version = "(.*)"$', (repository / "pyproject.toml").read_text(), re.M)
    assert version is not None
    assert labels["version"] == version[1]
    assert re.fullmatch(r"[0-9a-f]{40}|unknown", labels["revision"])
    assert labels["created"] == engine.inspect(IMAGE)["Created"]
    assert labels["licenses"] == "Apache-2.0"
    assert config["User"] == f"{USER_ID}:{USER_ID}"
    assert config["Healthcheck"]["Test"] == ["CMD", "expofuse", "health"]


def test_bill_of_materials_lists_every_package_of_python_and_debian(root: Path) -> None:
    bill = json.loads((root / "opt/expofuse/share/sbom.cdx.json").read_text())
    assert (bill["bomFormat"], bill["specVersion"]) == ("CycloneDX", "1.6")
    assert bill["metadata"]["component"]["name"] == "expofuse"
    listed = {(part["name"].lower(), part["version"]) for part in bill["components"]}
    installed = {
        (one.metadata["Name"].lower(), one.version)
        for one in distributions(path=[str(packages_of(root))])
    }
    fields = [path.read_text() for path in (root / "var/lib/dpkg/status.d").iterdir()]
    debian = {
        (re.search("^Package: (.*)$", text, re.M)[1], re.search("^Version: (.*)$", text, re.M)[1])
        for text in fields
    }
    assert len(installed) > 25
    assert len(debian) > 10
    assert listed == installed | debian


def test_licences_of_everything_are_in_the_image(root: Path, repository: Path) -> None:
    for name in ("LICENSE", "NOTICE"):
        ours = (root / "opt/expofuse/share" / name).read_bytes()
        assert ours == (repository / name).read_bytes()
    for path in (root / "var/lib/dpkg/status.d").iterdir():
        assert (root / "usr/share/doc" / path.name).resolve().exists(), path.name
    silent = {
        folder.name
        for folder in packages_of(root).glob("*.dist-info")
        if not [p for p in folder.rglob("*") if re.match("(licen[sc]e|copying)", p.name, re.I)]
        and not re.search("^License", (folder / "METADATA").read_text(), re.M)
    }
    assert silent == set()


def test_nothing_of_the_registry_settings_stays_in_the_image(engine: Engine, root: Path) -> None:
    listing = subprocess.run(
        ["python3", "-m", "pip", "config", "list"], capture_output=True, text=True, check=True
    )
    values = [line.partition("=")[2].strip("'") for line in listing.stdout.splitlines()]
    folders = [word.removeprefix("file://") for value in values for word in value.split()]
    left = [f for f in folders if f.startswith("/") and not f.startswith("/etc/ssl/")]
    assert [f for f in left if (root / f.removeprefix("/")).exists()] == []
    assert not (root / "etc/pip.conf").exists()
    assert not (root / "registry").exists()
    described = json.dumps(engine.inspect(IMAGE)) + engine.docker("history", "--no-trunc", IMAGE)
    assert [f for f in left if f in described] == []


# --- docker-compose.yml ------------------------------------------------------------------------


@pytest.fixture(scope="module")
def ports() -> dict[str, int]:
    return {name: free_port() for name in ("PORT", "PROMETHEUS_PORT")}


@pytest.fixture(scope="module")
def cpu_profile(engine: Engine, repository: Path, ports: dict[str, int]) -> Iterator[Project]:
    """The profile `cpu`, up; Prometheus has Debian's program, and Grafana is left out.

    Neither Debian nor another registry that was found has a server of Grafana.
    """
    images = {"expofuse-cpu": IMAGE}
    services = ["expofuse-cpu"]
    if shutil.which("prometheus"):
        images["prometheus"] = "stand-in/prometheus:debian"
        services.append("prometheus")
        started = [shutil.which("prometheus"), "--config.file=/etc/prometheus/prometheus.yml"]
        started += ["--storage.tsdb.path=/prometheus"]
        engine.import_programs(
            images["prometheus"],
            [str(started[0])],
            changes=[f"ENTRYPOINT {json.dumps(started)}", "USER 65534", "WORKDIR /prometheus"],
            folders=["prometheus", "tmp"],
        )
    project = read_project(repository / "docker-compose.yml", images)
    environment = {name: str(port) for name, port in ports.items()}
    environment |= {"COMPOSE_PROFILES": "cpu", "MEMORY_LIMIT": str(MEMORY_BYTES)}
    with running_project(engine, project, repository, services, environment) as running:
        yield running


@pytest.fixture(scope="module")
def service(engine: Engine, cpu_profile: Project) -> str:
    """Name of the service's container, which is healthy."""
    name = cpu_profile.container("expofuse-cpu")
    wait_until(
        lambda: engine.inspect(name)["State"]["Health"]["Status"] == "healthy", "it is healthy"
    )
    return name


@pytest.fixture(scope="module")
def client(ports: dict[str, int], service: str) -> Iterator[httpx.Client]:
    url = f"http://127.0.0.1:{ports['PORT']}"
    with httpx.Client(base_url=url, trust_env=False, timeout=300) as client:
        yield client


def picture(content: bytes) -> np.ndarray:
    decoded = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_COLOR)
    assert decoded is not None
    return decoded


def encode_large_pair(pixels: float) -> Pair:
    """A pair of so many pixels, as JPEG."""
    side = round((pixels / 1.5) ** 0.5)
    texture = np.random.default_rng(0).integers(5, 256, (40, 60, 3), np.uint8)
    scene = cv2.resize(texture, (side * 3 // 2, side), interpolation=cv2.INTER_LINEAR)
    tones = np.arange(256) / 255
    curves = [(tones * gain).clip(0, 1) ** (1 / 2.2) * 255 for gain in (0.25, 4.0)]
    exposures = [cv2.LUT(scene, curve.astype(np.uint8)) for curve in curves]
    under, over = (cv2.imencode(".jpg", exposure)[1].tobytes() for exposure in exposures)
    return under, over


@pytest.fixture(scope="module")
def large_pair() -> Pair:
    return encode_large_pair(50e6)


def with_comment(pair: Pair, comment: int) -> Pair:
    """The same JPEGs as other files, so that no kept picture answers for them."""
    segment = b"\xff\xfe\x00\x0a" + comment.to_bytes(8, "big")
    under, over = (exposure[:2] + segment + exposure[2:] for exposure in pair)
    return under, over


def make_pair(number: int) -> Pair:
    """A small pair unlike that of any other number."""
    noise = np.random.default_rng(number).uniform(0.02, 1.0, (128, 192, 3)).astype(np.float32)
    exposures = [(noise * gain).clip(0, 1) ** (1 / 2.2) * 255 for gain in (0.25, 4.0)]
    under, over = (cv2.imencode(".png", e.astype(np.uint8))[1].tobytes() for e in exposures)
    return under, over


def fuse(client: httpx.Client, pair: Pair, headers: dict[str, str] | None = None) -> httpx.Response:
    files = {"under": ("under", pair[0]), "over": ("over", pair[1])}
    return client.post("/fuse", files=files, headers=headers)


def metric(client: httpx.Client, name: str) -> float:
    found = re.search(rf"^{re.escape(name)} (\S+)$", client.get("/metrics").text, re.MULTILINE)
    assert found is not None, name
    return float(found[1])


def test_pair_is_fused_through_the_published_port(client: httpx.Client, pair_png: Pair) -> None:
    answer = fuse(client, pair_png, {"Accept": "image/png"})
    assert answer.status_code == 200, answer.text
    fused, under, over = map(picture, (answer.content, *pair_png))
    assert fused.shape == under.shape
    # Brighter than the underexposed picture, darker than the overexposed one.
    assert under.mean() < fused.mean() < over.mean()


def test_stack_of_five_is_fused_through_the_published_port(client: httpx.Client) -> None:
    texture = np.random.default_rng(1).uniform(0.02, 1.0, (16, 24, 3)).astype(np.float32)
    scene = cv2.resize(texture, (192, 128), interpolation=cv2.INTER_CUBIC).clip(0, None)
    stack = [(scene * 2.0**ev).clip(0, 1) ** (1 / 2.2) * 255 for ev in (-4, -2, 0, 2, 4)]
    encoded = [cv2.imencode(".png", np.rint(e).astype(np.uint8))[1].tobytes() for e in stack]
    answer = client.post(
        "/fuse", files=[("exposures", (f"{i}.png", e)) for i, e in enumerate(encoded)]
    )
    assert answer.status_code == 200, answer.text
    assert picture(answer.content).shape == (128, 192, 3)


def test_prometheus_of_the_profile_has_the_stages_and_the_weights(
    cpu_profile: Project, client: httpx.Client, ports: dict[str, int], pair_png: Pair
) -> None:
    if shutil.which("prometheus") is None:
        pytest.skip("prometheus is not installed (Debian: prometheus)")
    assert fuse(client, pair_png).status_code == 200
    api = f"http://127.0.0.1:{ports['PROMETHEUS_PORT']}/api/v1/query"

    def query(expression: str) -> list[dict[str, Any]]:
        try:
            answer = httpx.get(api, params={"query": expression}, trust_env=False)
        except httpx.TransportError:
            return []
        return answer.json()["data"]["result"] if answer.status_code == 200 else []

    wait_until(lambda: query("sum(expofuse_stage_seconds_count) > 0"), "stages are scraped")
    stages = query('expofuse_stage_seconds_bucket{le="+Inf"}')
    assert {sample["metric"]["stage"] for sample in stages} == set(get_args(Stage))
    (weights,) = query("expofuse_weights_info")
    served = client.get("/version").json()["weights"]
    assert {name: weights["metric"][name] for name in served} == served


def test_container_has_no_more_rights_than_the_file_gives(engine: Engine, service: str) -> None:
    status = dict(
        line.split(":\t", 1)
        for line in engine.python(service, "print(open('/proc/1/status').read())").splitlines()
    )
    assert {int(status[name], 16) for name in ("CapEff", "CapPrm", "CapBnd", "CapInh")} == {0}
    assert (status["NoNewPrivs"], status["Seccomp"]) == ("1", "2")
    assert set(status["Uid"].split()) == {str(USER_ID)}
    mounts = engine.python(service, "print(open('/proc/1/mounts').read())").splitlines()
    (options,) = (line.split()[3] for line in mounts if line.split()[1] == "/")
    assert "ro" in options.split(",")
    assert set(engine.python(service, LIST_WRITABLE).split()) == {"/tmp", "/dev/shm", "/dev/mqueue"}


def test_limit_of_memory_holds_under_a_pair_of_50_megapixels(
    engine: Engine, client: httpx.Client, service: str, large_pair: Pair
) -> None:
    state = engine.inspect(service)
    assert (state["HostConfig"]["Memory"], state["HostConfig"]["MemorySwap"]) == (MEMORY_BYTES,) * 2
    answer = fuse(client, large_pair)
    assert answer.status_code == 200, answer.text
    assert picture(answer.content).shape == picture(large_pair[0]).shape
    # Nothing was killed for it, not even a process that was then started again.
    kills = engine.python(
        service,
        "import pathlib\n"
        "at = pathlib.Path('/sys/fs/cgroup')\n"
        "files = [at / 'memory.events', at / 'memory/memory.oom_control']\n"
        "print(*[f.read_text() for f in files if f.exists()])",
    )
    assert re.search(r"^ ?oom_kill 0$", kills, re.MULTILINE), kills
    assert engine.inspect(service)["State"]["StartedAt"] == state["State"]["StartedAt"]
    assert metric(client, "expofuse_worker_restarts_total") == 0


def test_killed_worker_is_replaced_inside_its_container(
    engine: Engine, client: httpx.Client, service: str
) -> None:
    killed = engine.python(service, f"{FIND_WORKER}\nimport os\nos.kill(pids[0], 9)\nprint(*pids)")
    wait_until(lambda: metric(client, "expofuse_worker_restarts_total") == 1, "it is replaced")
    assert fuse(client, make_pair(0)).status_code == 200
    assert client.get("/readyz").status_code == 200
    assert engine.python(service, f"{FIND_WORKER}\nprint(*pids)") != killed


def test_stopped_container_ends_the_request_that_runs_and_itself_well(
    engine: Engine, client: httpx.Client, service: str, large_pair: Pair
) -> None:
    request_id = str(uuid.uuid4())
    with ThreadPoolExecutor(1) as pool:
        pair = with_comment(large_pair, 1)
        answer = pool.submit(fuse, client, pair, {"X-Request-Id": request_id})
        wait_until(
            lambda: (
                client.get(f"/requests/{request_id}").json()["stage"] not in {"none", "receive"}
            ),
            "the request is worked on",
        )
        stopping = engine.start("docker", "stop", "--time", "95", service)
        wait_until(lambda: client.get("/readyz").status_code == 503, "the signal has come")
        assert not answer.done()
        assert answer.result().status_code == 200
        finish(stopping)
    state = engine.inspect(service)["State"]
    assert (state["Status"], state["ExitCode"], state["OOMKilled"]) == ("exited", 0, False)


def test_gpu_profile_serves_on_the_cpu_when_its_device_alone_is_taken_away(
    engine: Engine, repository: Path, pair_png: Pair
) -> None:
    project = read_project(repository / "docker-compose.yml", {"expofuse": IMAGE})
    service = project["services"]["expofuse"]
    (device,) = service.pop("deploy")["resources"]["reservations"]["devices"]
    assert device["driver"] == "nvidia"
    assert service["environment"]["EXPOFUSE_DEVICE"] == "cuda:0"
    service["environment"]["EXPOFUSE_DEVICE"] = "cpu"
    port = free_port()
    environment = {"COMPOSE_PROFILES": "gpu", "PORT": str(port), "MEMORY_LIMIT": str(MEMORY_BYTES)}
    with running_project(engine, project, repository, ["expofuse"], environment) as running:
        name = running.container("expofuse")
        wait_until(
            lambda: engine.inspect(name)["State"]["Health"]["Status"] == "healthy", "it is healthy"
        )
        url = f"http://127.0.0.1:{port}"
        with httpx.Client(base_url=url, trust_env=False, timeout=300) as client:
            answer = fuse(client, pair_png)
            assert answer.status_code == 200, answer.text
            assert client.get("/readyz").status_code == 200


# --- deploy/nginx ------------------------------------------------------------------------------

REPLICAS = ("replica-1", "replica-2", "replica-3")


class Fleet:
    """Three replicas behind nginx."""

    def __init__(self, engine: Engine, project: Project, url: str) -> None:
        self.engine = engine
        self.url = url
        self.names = {name: project.container(name) for name in (*REPLICAS, "nginx")}

    def address(self, replica: str) -> str:
        """What nginx calls a replica."""
        (network,) = self.engine.inspect(self.names[replica])["NetworkSettings"][
            "Networks"
        ].values()
        return f"{network['IPAddress']}:8000"

    def served_by(self) -> set[str]:
        """Replicas in nginx's list."""
        read = "cat /tmp/replicas.told 2>/dev/null || true"
        listed = self.engine.docker("exec", self.names["nginx"], "sh", "-c", read)
        return set(re.findall(r"server ([\w-]+):8000", listed))

    def wait_for(self, *replicas: str) -> None:
        wait_until(lambda: self.served_by() == set(replicas), f"nginx asks {replicas}")

    def answers(self) -> bool:
        """Somebody behind the published port answers."""
        try:
            return httpx.get(f"{self.url}/healthz", trust_env=False).status_code == 200
        except httpx.TransportError:
            return False

    def log(self) -> list[dict[str, str]]:
        """What nginx wrote of every request so far."""
        done = subprocess.run(
            ["docker", "logs", self.names["nginx"]],
            env=os.environ | {"DOCKER_HOST": self.engine.host},
            capture_output=True,
            text=True,
            check=True,
        )
        return [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]

    @contextmanager
    def load(self, make: Callable[[int], Pair], most: int = 3000) -> Iterator[list[int]]:
        """Four clients that send one pair after the other; their statuses, once it is over."""
        statuses: list[int] = []
        over = threading.Event()

        def send(first: int) -> None:
            with httpx.Client(base_url=self.url, trust_env=False, timeout=300) as client:
                for number in range(first, most, 4):
                    if over.is_set():
                        return
                    statuses.append(fuse(client, make(number)).status_code)

        with ThreadPoolExecutor(4) as pool:
            clients = [pool.submit(send, first) for first in range(4)]
            try:
                yield statuses
            finally:
                over.set()
            for client in clients:
                client.result()


def find_free_subnet() -> str:
    """One that is not that of the same project beside it."""
    taken = {one.address for card in psutil.net_if_addrs().values() for one in card}
    number = next(n for n in range(1, 255) if f"172.28.{n}.1" not in taken)
    return f"172.28.{number}.0/24"


@pytest.fixture(scope="module")
def fleet(engine: Engine, repository: Path) -> Iterator[Fleet]:
    nginx, busybox = shutil.which("nginx", path="/usr/sbin:/usr/bin"), shutil.which("busybox")
    if nginx is None or busybox is None:
        pytest.skip("nginx or busybox is not installed (Debian: nginx-light, busybox)")
    tools = ("sh", "sleep", "timeout", "wget", "rm", "cat", "cmp", "cp", "mv", "mktemp")
    engine.import_programs(
        "stand-in/nginx:debian",
        [nginx, busybox],
        changes=["ENV PATH=/usr/sbin:/usr/bin"],
        folders=["tmp"],
        links={f"usr/bin/{tool}": busybox for tool in tools} | {"usr/share/nginx": "/tmp"},
    )
    images = dict.fromkeys(REPLICAS, IMAGE) | {"nginx": "stand-in/nginx:debian"}
    project = read_project(repository / "deploy/nginx/docker-compose.yml", images)
    port = free_port()
    environment = {"PORT": str(port), "THREADS": "1", "MEMORY_LIMIT": str(MEMORY_BYTES)}
    # A machine under tests takes longer than most until it has asked everybody and told nginx.
    environment |= {"DRAIN_PAUSE_S": "8", "SUBNET": find_free_subnet()}
    folder = repository / "deploy/nginx"
    with running_project(engine, project, folder, [], environment) as running:
        fleet = Fleet(engine, running, f"http://127.0.0.1:{port}")
        fleet.wait_for(*REPLICAS)
        wait_until(fleet.answers, "nginx listens")
        yield fleet


def test_rolling_restart_under_load_fails_no_request(fleet: Fleet) -> None:
    with fleet.load(make_pair) as statuses:
        for replica in REPLICAS:
            fleet.engine.docker("restart", "--time", "95", fleet.names[replica])
            fleet.wait_for(*REPLICAS)
    assert len(statuses) > 20
    assert set(statuses) == {200}
    for replica in REPLICAS:
        state = fleet.engine.inspect(fleet.names[replica])
        assert state["State"]["Running"]


def test_replica_without_a_ready_worker_gets_no_request(fleet: Fleet) -> None:
    name = fleet.names["replica-3"]
    # The worker is killed, and the next one held while it starts.
    held = fleet.engine.python(
        name,
        f"{FIND_WORKER}\nimport os, time\nkilled = pids[0]\nos.kill(killed, 9)\n"
        "deadline = time.monotonic() + 60\n"
        "while True:\n"
        f"    {FIND_WORKER.strip().replace(chr(10), chr(10) + '    ')}\n"
        "    if pids and pids != [killed]: break\n"
        "    assert time.monotonic() < deadline\n"
        "    time.sleep(0.01)\n"
        "os.kill(pids[0], 19)\nprint(*pids)",
    )
    fleet.wait_for("replica-1", "replica-2")
    ready = {fleet.address("replica-1"), fleet.address("replica-2")}
    with httpx.Client(base_url=fleet.url, trust_env=False, timeout=300) as client:

        def ask(count: int) -> set[str]:
            before = len(fleet.log())
            assert {client.get("/version").status_code for _ in range(count)} == {200}
            return {line["asked"] for line in fleet.log()[before:]}

        wait_until(lambda: ask(6) == ready, "nginx has read its new list")
        before = len(fleet.log())
        assert {fuse(client, make_pair(number)).status_code for number in range(30)} == {200}
        assert {line["asked"] for line in fleet.log()[before:]} == ready
        assert ask(60) == ready
    fleet.engine.python(name, f"import os; os.kill({held}, 18)")
    fleet.wait_for(*REPLICAS)


def test_killed_replica_costs_its_own_requests_a_repetition_and_no_other(fleet: Fleet) -> None:
    address, name = fleet.address("replica-2"), fleet.names["replica-2"]
    before = len(fleet.log())
    pair = encode_large_pair(12e6)
    with fleet.load(lambda number: with_comment(pair, number)) as statuses:
        # So it is killed while it works, and the others are working too.
        fleet.engine.python(name, WAIT_FOR_WORK)
        fleet.engine.docker("kill", name)
        fleet.wait_for("replica-1", "replica-3")
        sent = len(statuses)
        wait_until(lambda: len(statuses) >= sent + 4, "others go on")
    assert set(statuses) == {200}
    repeated = [line for line in fleet.log()[before:] if "," in line["asked"]]
    assert repeated
    assert {line["asked"].split(",")[0] for line in repeated} == {address}
