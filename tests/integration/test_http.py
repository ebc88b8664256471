"""The service over HTTP: what a sound pair gets, and what the service tells about itself."""

import io
import re
import threading
from concurrent.futures import ThreadPoolExecutor

import httpx
import numpy as np
import psutil
import pytest
import tifffile
from PIL import Image

from service.console.cli import main
from service.http.reference import create_reference_routes
from service.problem_types import PROBLEM_TYPES, type_of
from service.web.page_routes import create_page_routes
from tests import images
from tests.integration.conftest import data_pair, make_client, metric, problem_of, wait_for

pytestmark = pytest.mark.e2e

STAGES = ["receive", "decode", "align", "queue", "fuse", "encode"]


def picture(response: httpx.Response) -> Image.Image:
    assert response.status_code == 200, response.text
    return Image.open(io.BytesIO(response.content))


def test_the_answer_is_the_fused_picture_and_says_how_it_came_about(post, weights):
    response = post(headers={"X-Request-Id": "photo_7"})
    fused = picture(response)
    assert (fused.format, fused.size, fused.mode) == ("PNG", (64, 48), "RGB")
    headers = response.headers
    assert headers["x-expofuse-weights"] == weights
    assert headers["x-expofuse-exposure-order"] == "as-given"
    assert re.match(r"(identity|homography|refused); ", headers["x-expofuse-alignment"])
    assert headers["x-request-id"] == "photo_7"
    timing = re.findall(r"(\w+);dur=([0-9.]+)", headers["server-timing"])
    assert [name for name, _ in timing] == STAGES
    assert all(float(value) >= 0 for _, value in timing)
    # Between its exposures: a copy of either, or a constant, would not be.
    mean = np.asarray(fused).mean()
    assert images.scene(gain=0.3).mean() < mean


def test_a_photographed_pair_is_fused(client):
    under, over = data_pair("507")
    response = client.post("/fuse?format=jpeg&quality=80", files={"under": under, "over": over})
    fused = picture(response)
    assert (fused.format, fused.size) == ("JPEG", (536, 356))
    assert re.match(r"(identity|homography); inliers=\d+", response.headers["x-expofuse-alignment"])


@pytest.mark.parametrize(
    ("query", "accept", "expected"),
    [
        ("", None, "PNG"),
        ("?format=jpeg", "image/webp", "JPEG"),
        ("?format=tiff", None, "TIFF"),
        ("", "image/webp", "WEBP"),
        ("", "text/html, */*", "PNG"),
    ],
)
def test_the_format_is_the_option_then_accept_then_that_of_under(post, query, accept, expected):
    response = post(query, headers={"Accept": accept} if accept else None)
    assert picture(response).format == expected
    assert response.headers["content-type"] == f"image/{expected.lower()}"


def test_options_may_be_form_fields(post):
    small = post(fields={"format": "jpeg", "quality": "5", "align": "off"})
    large = post("?format=jpeg", fields={"quality": "95"})
    assert small.headers["x-expofuse-alignment"] == "off"
    assert picture(small).format == "JPEG"
    assert len(small.content) < len(large.content)


def test_swapped_exposures_are_put_right_and_said(post, reference, under, over):
    swapped = post(under=over, over=under)
    assert swapped.headers["x-expofuse-exposure-order"] == "swapped"
    assert swapped.content == reference


def test_a_16_bit_pair_stays_16_bit(post):
    scenes = [images.scene(dtype=np.uint16, gain=gain) for gain in (0.3, 1.0)]
    response = post("?format=tiff", under=images.png16(scenes[0]), over=images.tiff16(scenes[1]))
    assert response.status_code == 200, response.text
    fused = tifffile.imread(io.BytesIO(response.content))
    assert (fused.dtype, fused.shape) == (np.uint16, (48, 64, 3))
    assert (fused % 257 != 0).any()


def test_orientation_is_applied_before_the_sizes_are_compared(post, over):
    turned = np.rot90(images.scene(gain=0.3))
    sideways = images.with_orientation(6, form="png", pixels=np.ascontiguousarray(turned))
    response = post(under=sideways)
    assert picture(response).size == (64, 48)


def test_a_requirement_to_align_that_cannot_be_met_is_refused(post):
    flat = [
        images.encoded("png", pixels=np.full((64, 64, 3), level, np.uint8)) for level in (90, 200)
    ]
    refused = post("?align=require", under=flat[0], over=flat[1])
    assert refused.status_code == 422
    assert problem_of(refused)["type"] == "/problems/alignment-failed"
    fallen_back = post("?align=auto", under=flat[0], over=flat[1])
    assert fallen_back.status_code == 200
    assert fallen_back.headers["x-expofuse-alignment"].startswith("refused; reason=")


def test_pictures_of_different_scenes_are_refused_unless_nobody_looks(post):
    rng = np.random.default_rng(3)
    noise = [
        images.encoded("png", pixels=(rng.integers(0, 256, (64, 64, 3)) // share).astype(np.uint8))
        for share in (3, 1)
    ]
    refused = post(under=noise[0], over=noise[1])
    assert refused.status_code == 422
    assert "shows nothing of the others" in problem_of(refused)["detail"]
    assert post("?align=off", under=noise[0], over=noise[1]).status_code == 200


def test_the_same_request_gets_the_same_bytes_alone_and_under_load(server, post, reference):
    other = [images.encoded("png", pixels=images.scene(70, 90, gain=gain)) for gain in (0.4, 1.0)]

    def send(index: int) -> bytes | None:
        if index % 2:
            assert post(under=other[0], over=other[1]).status_code == 200
            return None
        response = post()
        assert response.status_code == 200
        return response.content

    with ThreadPoolExecutor(6) as pool:
        answers = list(pool.map(send, range(12)))
    assert {answer for answer in answers if answer is not None} == {reference}


def test_a_request_id_that_is_not_sane_is_replaced(post):
    for given in ("two words", "x" * 65, "ü"):
        assert re.fullmatch(
            "[0-9a-f]{32}",
            post("?format=nothing", headers={"X-Request-Id": given.encode()}).headers[
                "x-request-id"
            ],
        )


def test_health_readiness_version_and_limits(client, weights):
    assert client.get("/healthz").json() == {"status": "ok"}
    assert client.get("/readyz").json() == {"status": "ready"}
    version = client.get("/version").json()
    assert f"{version['weights']['name']}-{version['weights']['version']}" == weights
    assert (version["device"], version["precision"]) == ("cpu", "float32")
    limits = client.get("/limits").json()
    assert limits["max_megapixels"] == 64.0
    assert limits["min_side_px"] == 16
    assert limits["max_head_bytes"] == 32_768
    assert limits["max_parts"] == 64
    assert all(isinstance(value, int | float) for value in limits.values())


def test_metrics_count_requests_stages_and_batches(client, post, weights):
    before = metric(client, "requests_total", outcome="fused")
    stages_before = metric(client, "stage_seconds_count", stage="fuse")
    refused_before = metric(client, "requests_total", outcome="bad-option")
    assert post().status_code == 200
    assert post("?nothing=1").status_code == 422
    assert metric(client, "requests_total", outcome="fused") == before + 1
    assert metric(client, "requests_total", outcome="bad-option") == refused_before + 1
    assert metric(client, "stage_seconds_count", stage="fuse") == stages_before + 1
    assert metric(client, "batch_windows_count") >= 1
    assert metric(client, "worker_up") == 1
    assert metric(client, "codec_processes") == 2
    text = client.get("/metrics").text
    name, _, number = weights.rpartition("-")
    assert f'name="{name}"' in text
    assert f'version="{number}"' in text


def test_unknown_paths_and_methods_are_problems(client):
    missing = client.get("/nothing")
    assert (missing.status_code, problem_of(missing)["title"]) == (404, "Not Found")
    wrong = client.get("/fuse")
    assert (wrong.status_code, wrong.headers["allow"]) == (405, "OPTIONS, POST")
    problem_of(wrong)


def test_the_type_of_a_problem_leads_to_its_page(client, post):
    refused = post("?sharpen=1")
    address = refused.url.join(problem_of(refused)["type"])
    page = client.get(address, headers={"Accept": "text/html"})
    assert (page.status_code, page.headers["content-type"]) == (200, "text/html; charset=utf-8")
    assert problem_of(refused)["title"] in page.text
    head = client.head(address)
    assert (head.status_code, head.content) == (200, b"")
    assert client.options(address).headers["allow"] == "GET, HEAD, OPTIONS"
    assert client.head("/problems/nothing").status_code == 404


@pytest.mark.parametrize("code", PROBLEM_TYPES)
def test_every_type_of_problem_is_served(client, code):
    page = client.get(type_of(code))
    assert (page.status_code, page.text.splitlines()[0]) == (200, PROBLEM_TYPES[code].title)


def test_every_page_keeps_a_browser_from_loading_framing_and_telling(client):
    pages = [path for path in list_paths(client) if is_page(client, path)]
    assert {"/", "/docs", "/redoc", "/problems", "/problems/queue-full"} <= set(pages)
    for path in pages:
        answer = client.get(path, headers={"Accept": "text/html"})
        policy = answer.headers["content-security-policy"]
        assert policy.startswith("default-src 'none'"), path
        for rule in ("frame-ancestors 'none'", "base-uri 'none'", "form-action 'none'"):
            assert rule in policy, path
        assert "unsafe" not in policy
        assert answer.headers["referrer-policy"] == "no-referrer"
        assert answer.headers["cross-origin-opener-policy"] == "same-origin"


def test_every_answer_is_of_the_type_that_it_names_and_of_this_origin_alone(client, post):
    answers = [client.get(path) for path in list_paths(client)]
    answers += [client.get("/nothing"), client.options("/fuse"), client.head("/"), post()]
    for answer in answers:
        assert answer.headers["x-content-type-options"] == "nosniff", answer.url
        assert answer.headers["cross-origin-resource-policy"] == "same-origin", answer.url
        assert "strict-transport-security" not in answer.headers


def list_paths(client) -> list[str]:
    """Every path that is read: of the API, of its problems, of the pages and what they load."""
    described = client.get("/openapi.json").json()["paths"]
    paths = [path for path, methods in described.items() if "get" in methods and "{" not in path]
    paths += [f"/problems/{code}" for code in PROBLEM_TYPES]
    paths += [str(route.path) for route in (*create_reference_routes(), *create_page_routes())]
    return paths


def is_page(client, path: str) -> bool:
    answer = client.get(path, headers={"Accept": "text/html"})
    return answer.headers["content-type"].startswith("text/html")


def test_the_api_describes_itself(client):
    description = client.get("/openapi.json").json()
    operation = description["paths"]["/fuse"]["post"]
    form = operation["requestBody"]["content"]["multipart/form-data"]["schema"]
    assert form["oneOf"] == [{"required": ["under", "over"]}, {"required": ["exposures"]}]
    assert {"under", "over", "exposures", "reference"} <= form["properties"].keys()
    exposures = form["properties"]["exposures"]
    assert (exposures["minItems"], exposures["maxItems"]) == (2, 9)
    assert "reference" in {option["name"] for option in operation["parameters"]}
    assert {"400", "411", "413", "415", "422", "503", "504"} <= operation["responses"].keys()


def test_the_event_loop_loads_neither_torch_nor_opencv_nor_a_decoder(server, post):
    assert post().status_code == 200
    process = psutil.Process(server.process.pid)
    libraries = "\n".join(mapping.path for mapping in process.memory_maps())
    assert "uvloop" in libraries
    assert not re.search(r"libtorch|/torch/|cv2|onnxruntime|vips", libraries)
    workers = [
        one for one in process.children() if "service.device.child" in " ".join(one.cmdline())
    ]
    loaded = "\n".join(mapping.path for mapping in workers[0].memory_maps())
    assert "kernels/native_" in loaded
    assert not re.search(r"libtorch|/torch/", loaded)


def test_the_log_has_one_line_for_a_request_and_nothing_of_the_client_s(server, post):
    response = post(
        "?format=jpeg&align=never-heard-of", headers={"X-Request-Id": "log-1", "X-Other": "secret"}
    )
    assert response.status_code == 422
    wait_for(lambda: '"log-1"' in server.log())
    (line,) = [line for line in server.log().splitlines() if '"log-1"' in line]
    assert '"outcome": "bad-option"' in line
    assert "never-heard-of" not in server.log()
    assert "secret" not in server.log()


def test_the_command_line_fuses_two_files(server, tmp_path, capsys, under, over, reference):
    (tmp_path / "under.png").write_bytes(under)
    (tmp_path / "over.png").write_bytes(over)
    files = [str(tmp_path / name) for name in ("under.png", "over.png", "fused.png")]
    assert main(["fuse", *files, "--url", server.base_url]) == 0
    assert (tmp_path / "fused.png").read_bytes() == reference
    assert "as-given" in capsys.readouterr().out
    assert main(["fuse", *files, "--url", server.base_url, "--weights", "none"]) == 1
    assert "422: An option is not accepted: expected weights" in capsys.readouterr().err


def test_answers_do_not_wait_for_a_client_that_sends_slowly(server, post, reference):
    done = threading.Event()

    def dawdle():
        yield b"--edge\r\nContent-Disposition: form-data; name=under\r\n\r\n"
        done.wait(300)

    def send_slowly() -> int:
        with make_client(server) as slow:
            headers = {"Content-Type": "multipart/form-data; boundary=edge"}
            return slow.post("/fuse", content=dawdle(), headers=headers).status_code

    with ThreadPoolExecutor(1) as pool:
        slow = pool.submit(send_slowly)
        assert post().content == reference
        done.set()
        assert slow.result() == 400
