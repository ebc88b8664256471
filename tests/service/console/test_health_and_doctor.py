"""`expofuse health` and `expofuse doctor`, where all is well and where it is not."""

import json
import socket

import pytest

from model.errors import DeviceError
from service.console.doctor import computing, serving
from service.console.doctor.computing import examine_device
from service.console.doctor.serving import examine_port
from tests.server import free_port


def test_a_service_that_is_ready_is_well(server, expofuse):
    server.pages["/readyz"] = (200, b'{"status":"ready"}')
    said = expofuse("health", "--server", server.url)
    assert (said.code, said.out) == (0, b"ready\n")
    told = json.loads(expofuse("health", "--server", server.url, "--json").out)
    assert told == {"is_well": True, "server": server.url, "said": "ready"}


def test_a_service_that_is_not_ready_is_alive_all_the_same(server, expofuse):
    server.pages["/readyz"] = (503, b'{"detail":"the worker is warming up"}')
    said = expofuse("health", "--server", server.url)
    assert (said.code, said.out) == (1, b"the worker is warming up\n")
    assert expofuse("health", "--alive", "--server", server.url).code == 0


def test_the_port_of_the_environment_is_asked(server, expofuse, monkeypatch):
    server.pages["/readyz"] = (200, b"[]")
    monkeypatch.setenv("EXPOFUSE_PORT", str(server.server_port))
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    said = expofuse("health")
    assert (said.code, said.out) == (0, b"status 200\n")


def test_nobody_there_is_not_well(expofuse):
    said = expofuse("health", "--server", f"http://127.0.0.1:{free_port()}")
    assert (said.code, b"no answer from 127.0.0.1" in said.out) == (1, True)
    assert expofuse("health", "--server", "127.0.0.1:8000").code == 2


def find(said, name):
    (found,) = [one for one in json.loads(said.out) if one["name"] == name]
    return found


@pytest.fixture
def examined(expofuse, monkeypatch):
    """The doctor's findings with some settings."""

    def examine(**settings):
        monkeypatch.setenv("EXPOFUSE_PORT", str(free_port()))
        for name, value in settings.items():
            monkeypatch.setenv(f"EXPOFUSE_{name}", value)
        return expofuse("doctor", "--json")

    return examine


def test_a_sound_installation_is_well(examined, expofuse):
    said = examined(DEVICE="cpu")
    assert said.code == 0
    states = {one["name"]: one["state"] for one in json.loads(said.out)}
    for name in ("Python", "compiled kernels", "ONNX Runtime", "device", "settings", "port"):
        assert states[name] == "well", name
    assert states["weights pyramid-blend-2.1.0"] == "well"
    assert "wrong" not in states.values()
    text = expofuse("doctor").out.decode()
    assert "ok    Python: 3." in text


@pytest.mark.parametrize(
    ("settings", "name", "state", "words"),
    [
        ({"HOTS": "x"}, "settings", "wrong", "did you mean EXPOFUSE_HOST"),
        ({"WEIGHTS": "none-1.0.0"}, "weights none-1.0.0", "wrong", "manifest.json"),
        ({"DEVICE": "cuda:7"}, "device", "wrong", "cuda"),
        (
            {"LIMITS__MAX_MEGAPIXELS_IN_FLIGHT": "1e9"},
            "shared memory",
            "note",
            "fewer megapixels",
        ),
        ({"LIMITS__MAX_CONNECTIONS": "900000000"}, "open files", "note", "fewer connections"),
        ({"CODEC__MEMORY_BYTES": "9" * 16}, "memory", "note", "at worst"),
        ({"CODEC__SANDBOX": "off"}, "codec sandbox", "note", "turned off"),
    ],
)
def test_what_is_wrong_is_named_with_how_to_mend_it(examined, settings, name, state, words):
    said = examined(**settings)
    found = find(said, name)
    assert (found["state"], words in found["found"]) == (state, True), found
    assert found["advice"]
    assert said.code == (1 if state == "wrong" else 0)


def test_an_installation_without_the_kernels_is_wrong(examined, expofuse, monkeypatch):
    monkeypatch.setattr("model.kernels.native.list_libraries", list)
    said = examined()
    assert find(said, "compiled kernels")["advice"].startswith("install expofuse again")
    text = expofuse("doctor").out.decode()
    assert "WRONG compiled kernels: none\n      -> install" in text


def test_an_extra_that_is_not_installed_is_a_note(examined, monkeypatch):
    monkeypatch.setattr(computing, "EXTRAS", {"raw": ("no_such_module_here", "to read raw")})
    found = find(examined(), "extra 'raw'")
    assert (found["state"], found["advice"]) == (
        "note",
        "pip install 'expofuse[raw]', if you want that",
    )


def test_a_gpu_that_lies_idle_is_a_note(tmp_path, monkeypatch):
    programme = tmp_path / "nvidia-smi"
    programme.write_text("#!/bin/sh\necho 'GPU 0: NVIDIA X (UUID: GPU-1)'\n")
    programme.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    monkeypatch.setattr(computing, "resolve_device", lambda device: "cpu")
    found = examine_device("auto")
    assert (found.state, "GPU 0: NVIDIA X" in found.found) == ("note", True)
    assert "expofuse[cuda]" in found.advice
    assert examine_device("cpu").state == "well"


def test_a_device_that_is_not_there_is_wrong(monkeypatch):
    def refuse(device):
        raise DeviceError("expected another")

    monkeypatch.setattr(computing, "resolve_device", refuse)
    assert examine_device("cuda").state == "wrong"


def test_a_port_is_free_or_taken_by_somebody_or_by_the_service_itself(server):
    assert examine_port("127.0.0.1", free_port()).state == "well"
    assert examine_port("127.0.0.1", server.server_port).found.endswith("a running expofuse")
    with socket.create_server(("127.0.0.1", 0)) as taken:
        serving.ANSWER_TIMEOUT_S, before = 0.1, serving.ANSWER_TIMEOUT_S
        found = examine_port("127.0.0.1", taken.getsockname()[1])
        serving.ANSWER_TIMEOUT_S = before
    assert (found.state, found.advice) == ("wrong", "set EXPOFUSE_PORT")
    assert examine_port("192.0.2.1", 80).state == "wrong"
