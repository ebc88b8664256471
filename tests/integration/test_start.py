"""A start that must not succeed ends with one sentence, and with an exit code that is not zero."""

import shutil
import socket
import subprocess
import sys
import tempfile
import time
from contextlib import suppress

import psutil
import pytest
import trustme
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    PrivateFormat,
    load_pem_private_key,
)

from tests.paths import ROOT
from tests.server import free_port, limit_files, run_to_its_end, server_environment

pytestmark = pytest.mark.e2e

START_TIMEOUT_S = 600.0


def start(*prefix: str, **overrides: str) -> tuple[int, list[str]]:
    """Exit code and the lines of a server that is expected to refuse its start.

    Args:
        prefix: What runs it, where that is not a bare process.
        overrides: Settings.
    """
    with tempfile.TemporaryFile("w+") as errors:
        process = subprocess.Popen(
            [*prefix, sys.executable, "-m", "service", "serve"],
            cwd=ROOT,
            env=server_environment(free_port(), {"EXPOFUSE_CODEC__PROCESSES": "1", **overrides}),
            stdout=errors,
            stderr=errors,
        )
        code = watch(process)
        errors.seek(0)
        return code, errors.read().splitlines()


def watch(process: subprocess.Popen[bytes]) -> int:
    """Wait for the end of a server; none of its processes may be started by then."""
    deadline = time.monotonic() + START_TIMEOUT_S
    family = psutil.Process(process.pid)
    try:
        while (code := process.poll()) is None:
            with suppress(psutil.NoSuchProcess):
                assert family.children() == []
            assert time.monotonic() < deadline
            time.sleep(0.005)
    finally:
        process.kill()
        process.wait()
    return code


def start_with_device(**overrides: str) -> tuple[int, list[str]]:
    """The same where the device itself refuses, so that its process has to be asked."""
    ended = run_to_its_end({"EXPOFUSE_CODEC__PROCESSES": "1", **overrides})
    return ended.returncode, ended.stderr.splitlines()


def test_a_misspelt_setting_stops_the_start_with_one_sentence():
    code, lines = start(EXPOFUSE_PROT="8000")
    assert code == 2
    assert lines == [
        "expofuse: EXPOFUSE_PROT is not a setting of this service; did you mean EXPOFUSE_PORT?"
    ]


def test_jpeg_files_on_a_gpu_beside_a_cpu_stop_the_start_with_one_sentence():
    code, lines = start(EXPOFUSE_CODEC__JPEG="nvimagecodec", EXPOFUSE_DEVICE="cpu")
    assert code == 2
    assert lines == [
        "expofuse: EXPOFUSE_CODEC: expected EXPOFUSE_DEVICE=cuda beside JPEG=nvimagecodec, got cpu"
    ]


@pytest.mark.parametrize("setting", ["EXPOFUSE_PORT", "EXPOFUSE_METRICS_PORT"])
def test_a_taken_port_stops_the_start_with_one_sentence(setting):
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        code, lines = start(**{setting: str(port)})
    assert code == 1
    assert lines == [f"expofuse: cannot listen on 127.0.0.1 port {port}: Address already in use"]


def test_weights_that_are_not_there_stop_the_start():
    code, lines = start(EXPOFUSE_WEIGHTS="nobody-9.9.9")
    assert code == 1
    (line,) = lines
    assert line.startswith("expofuse: expected manifest.json in the weights directory")


def test_a_host_that_nobody_knows_stops_the_start():
    code, (line,) = start(EXPOFUSE_HOST="no-such-host.invalid")
    assert code == 1
    assert line.startswith("expofuse: cannot listen on no-such-host.invalid port ")


def test_too_few_open_files_stop_the_start():
    code, (line,) = start(*limit_files(40))
    assert code == 1
    assert line.startswith("expofuse: expected at least 48 open files to be allowed, got 40")


def test_a_small_shared_memory_stops_the_start():
    small = ["unshare", "--mount", "sh", "-c"]
    mount = "mount -t tmpfs -o size=1m tmpfs /dev/shm"
    if subprocess.run([*small, mount], capture_output=True).returncode != 0:
        pytest.skip("no file system can be mounted here")
    code, (line,) = start(*small, f'{mount} && exec "$@"', "sh")
    assert code == 1
    assert "--shm-size" in line


@pytest.mark.parametrize(
    ("certificate", "key", "sentence"),
    [
        ("none.crt", "a.key", "expected a certificate in 'none.crt': No such file or directory"),
        ("a.crt", "none.key", "expected the certificate's key in 'none.key': No such file"),
        ("a.crt", "b.key", "expected the certificate's key in 'b.key': key values mismatch"),
        ("a.key", "a.key", "expected a certificate in 'a.key': no certificate or crl found"),
        ("a.crt", "locked.key", "expected EXPOFUSE_TLS__KEY_PASSWORD_FILE, as the key is encr"),
    ],
)
def test_a_certificate_or_key_that_is_not_sound_stops_the_start(
    tmp_path, certificate, key, sentence
):
    write_certificates(tmp_path)
    code, (line,) = start(
        EXPOFUSE_TLS__CERTIFICATE=str(tmp_path / certificate), EXPOFUSE_TLS__KEY=str(tmp_path / key)
    )
    assert code == 1
    assert line.replace(f"{tmp_path}/", "").startswith(f"expofuse: {sentence}")


def write_certificates(folder):
    authority = trustme.CA()
    for name in ("a", "b"):
        issued = authority.issue_cert("localhost")
        (folder / f"{name}.crt").write_bytes(issued.cert_chain_pems[0].bytes())
        issued.private_key_pem.write_to_path(folder / f"{name}.key")
    private = load_pem_private_key((folder / "a.key").read_bytes(), None)
    locked = private.private_bytes(
        Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"secret")
    )
    (folder / "locked.key").write_bytes(locked)


def test_a_certificate_without_its_key_stops_the_start(tmp_path):
    code, lines = start(EXPOFUSE_TLS__CERTIFICATE=str(tmp_path / "a.crt"))
    assert code == 2
    assert lines == [
        "expofuse: EXPOFUSE_TLS: expected certificate and key, or neither; one of them is missing"
    ]


@pytest.mark.parametrize("before", ["", "sound"])
def test_weights_whose_hash_differs_stop_the_start(weights, tmp_path, before):
    name, _, number = weights.rpartition("-")
    copy = tmp_path / weights
    shutil.copytree(ROOT / "weights" / weights, copy)
    parameters = copy / "network.safetensors"
    damaged = bytearray(parameters.read_bytes())
    damaged[-1] ^= 1
    parameters.write_bytes(damaged)
    served = weights
    if before:
        # A version that passes, under another label, does not make up for one that does not.
        sound = tmp_path / f"{before}-{number}"
        shutil.copytree(ROOT / "weights" / weights, sound)
        manifest = sound / "manifest.json"
        manifest.write_text(
            manifest.read_text().replace(f'"name": "{name}"', f'"name": "{before}"')
        )
        served = f"{sound.name},{weights}"
    code, (line,) = start(EXPOFUSE_WEIGHTS=served, EXPOFUSE_WEIGHTS_DIR=str(tmp_path))
    assert code == 1
    assert f"'{weights}': network.safetensors has SHA-256" in line


def test_two_versions_of_one_label_stop_the_start(weights):
    path = ROOT / "weights" / weights
    code, lines = start(EXPOFUSE_WEIGHTS=f"{weights},{path}")
    assert code == 1
    assert lines == [f"expofuse: expected weights of different labels, got '{weights}' 2 times"]


def test_an_empty_version_in_the_list_stops_the_start_with_one_sentence(weights):
    code, lines = start(EXPOFUSE_WEIGHTS=f"{weights},")
    assert code == 2
    assert lines == [
        "expofuse: EXPOFUSE_WEIGHTS: expected weights versions separated by commas, "
        f"one of them is empty, got '{weights},'"
    ]


def test_a_device_that_is_not_there_stops_the_start(weights):
    code, lines = start_with_device(EXPOFUSE_WEIGHTS=weights, EXPOFUSE_DEVICE="cuda:63")
    assert code == 1
    assert "got 'cuda:63'" in lines[-1]
