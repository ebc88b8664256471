"""Jobs outlive the service, however it ends, and their webhooks come once."""

import os
import signal

import pytest
from standardwebhooks import Webhook

from expofuse.client import ImageError, OptionError, RequestError
from tests import images
from tests.expofuse.client.conftest import Awaited, Blocking
from tests.integration.conftest import make_client, server_settings, wait_for
from tests.integration.killed_service import survive
from tests.server import free_port, run_to_its_end, running_server
from tests.webhooks import SECRET, receiving

pytestmark = pytest.mark.e2e

SUBMITTED = "/jobs?align=off"


@pytest.fixture
def pair(under, over):
    return {"under": under, "over": over}


@pytest.fixture(scope="module")
def large_pair():
    """Takes a second or more to fuse."""
    return {
        name: images.encoded("jpeg", pixels=images.scene(2000, 3000, gain=gain))
        for name, gain in (("under", 0.3), ("over", 1.0))
    }


def settings_of(weights, tmp_path, **more):
    return (
        server_settings(weights)
        | {
            "EXPOFUSE_STATE_DIR": str(tmp_path / "state"),
            "EXPOFUSE_LIMITS__MAX_BODY_BYTES": str(64 * 2**20),
        }
        | {f"EXPOFUSE_JOBS__{name}": value for name, value in more.items()}
    )


def submit(client, files, query=""):
    response = client.post(f"{SUBMITTED}{query}", files=files)
    assert response.status_code == 202, response.text
    return response.headers["location"]


def wait_until_done(client, location):
    wait_for(lambda: client.get(location).json()["state"] in ("done", "failed"))
    assert client.get(location).json()["state"] == "done"


def webhooks_to(receiver):
    return {
        "WEBHOOK_HOSTS": f"http://127.0.0.1:{receiver.port}",
        "WEBHOOK_SECRET": SECRET,
    }


def test_a_job_survives_the_kill_of_every_process(weights, tmp_path, pair, large_pair):
    environment = settings_of(weights, tmp_path, MAX_RUNNING="1")
    with running_server(environment, log_path=tmp_path / "1.log") as server:
        with make_client(server) as client:
            done = submit(client, pair)
            wait_until_done(client, done)
            picture = client.get(f"{done}/result").content
            runs = submit(client, large_pair)
            waits = submit(client, pair)
            wait_for(lambda: client.get(runs).json()["state"] == "running")
        os.killpg(server.process.pid, signal.SIGKILL)
        server.process.wait()
    with (
        running_server(environment, log_path=tmp_path / "2.log") as server,
        make_client(server) as client,
    ):
        for location in (runs, waits):
            wait_until_done(client, location)
        assert client.get(f"{done}/result").content == picture
        assert client.get(f"{waits}/result").content == picture


def test_sigterm_loses_no_job(weights, tmp_path, pair, large_pair):
    environment = settings_of(weights, tmp_path, MAX_RUNNING="1")
    with (
        running_server(environment, log_path=tmp_path / "1.log") as server,
        make_client(server) as client,
    ):
        locations = [submit(client, files) for files in (large_pair, pair, large_pair, pair)]
    assert server.process.returncode == 0
    with (
        running_server(environment, log_path=tmp_path / "2.log") as server,
        make_client(server) as client,
    ):
        for location in locations:
            wait_until_done(client, location)


def test_a_second_service_is_refused_the_folder_in_one_sentence(weights, tmp_path):
    environment = settings_of(weights, tmp_path)
    with running_server(environment, log_path=tmp_path / "1.log"):
        second = run_to_its_end(environment)
    assert second.returncode == 1
    assert second.stderr.splitlines()[-1] == (
        "expofuse: expected EXPOFUSE_STATE_DIR for this service alone, another one is using it"
    )


def test_a_webhook_is_tried_again_under_one_id_and_signed_every_time(weights, tmp_path, pair):
    with receiving() as receiver:
        receiver.answers = [500, 302]
        environment = settings_of(weights, tmp_path, **webhooks_to(receiver))
        with (
            running_server(environment, log_path=tmp_path / "1.log") as server,
            make_client(server) as client,
        ):
            location = submit(client, pair | {"webhook": (None, receiver.url)})
            wait_for(lambda: client.get(location).json()["webhook"] == "delivered")
            told = client.get("/metrics").text
    assert len(receiver.calls) == 3
    assert len(set(receiver.ids)) == 1
    for headers, body in receiver.calls:
        event = Webhook(SECRET).verify(body, dict(headers))
        assert event["type"] == "job.done"
        assert event["data"]["result"] == f"{location}/result"
    assert 'expofuse_webhook_calls_total{outcome="failed"} 2.0' in told
    assert 'expofuse_webhook_calls_total{outcome="delivered"} 1.0' in told


def test_a_webhook_to_a_host_that_is_not_listed_is_refused_with_its_form(weights, tmp_path, pair):
    with receiving() as listed, receiving() as other:
        environment = settings_of(weights, tmp_path, **webhooks_to(listed))
        with (
            running_server(environment, log_path=tmp_path / "1.log") as server,
            make_client(server) as client,
        ):
            for url in (other.url, listed.url.replace("127.0.0.1", "localhost")):
                refused = client.post(SUBMITTED, files=pair, data={"webhook": url})
                assert refused.status_code == 422
                assert "host that the operator of this service lists" in refused.json()["detail"]
        assert (listed.calls, other.calls) == ([], [])


def test_hosts_of_webhooks_without_a_secret_end_the_start(weights, tmp_path):
    environment = settings_of(weights, tmp_path, WEBHOOK_HOSTS="hooks.example")
    ended = run_to_its_end(environment)
    assert ended.returncode == 1
    assert "expected EXPOFUSE_JOBS__WEBHOOK_SECRET" in ended.stderr.splitlines()[-1]


@pytest.mark.parametrize("kind", [Blocking, Awaited], ids=["sync", "async"])
def test_the_client_submits_waits_and_fetches(weights, tmp_path, pair, kind):
    environment = settings_of(weights, tmp_path)
    exposures = [pair["under"], pair["over"]]
    with running_server(environment, log_path=tmp_path / "1.log") as server:
        asking = kind(server.base_url)
        job = asking.submit(exposures, format="png", align="off")
        assert asking.wait(job.id, timeout_s=90.0).state == "done"
        fused = asking.result(job.id)
        assert fused.content == asking.fuse(exposures, format="png", align="off").content
        assert fused.alignment.outcome == "off"
        asking.cancel(job.id)
        with pytest.raises(RequestError) as caught:
            asking.job(job.id)
        assert caught.value.code == "no-such-job"
        damaged = asking.submit([images.truncated(pair["under"]), pair["over"]])
        assert asking.wait(damaged.id).problem is not None
        with pytest.raises(ImageError):
            asking.result(damaged.id)
        with pytest.raises(OptionError, match="lists no hosts"):
            asking.submit(exposures, webhook="https://hooks.example/")


@pytest.mark.slow
def test_no_job_is_lost_and_none_told_twice_while_the_service_is_killed_again_and_again(tmp_path):
    figures = survive(tmp_path, jobs=100, kill_every=30, port=free_port())
    assert (figures.done, figures.lost) == (100, 0), figures
    assert figures.webhooks == 100
    assert figures.kills == 3, figures
