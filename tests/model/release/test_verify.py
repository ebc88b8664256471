"""Each check of a weights version fails for its own fault, and only the ones after it are left."""

import json
import shutil

import pytest

from model.manifest import GRAPH_NAME, MANIFEST_NAME, PARAMETERS_NAME, VALID_GRAPH_NAME
from model.manifest import describe_file as describe
from model.release.verify import verify_weights


@pytest.fixture
def copy(weights_dir, tmp_path):
    directory = tmp_path / weights_dir.name
    shutil.copytree(weights_dir, directory)
    return directory


def replace_and_sign(directory, name, data):
    """Another file under a name, with the hash that belongs to it."""
    (directory / name).write_bytes(data)
    document = json.loads((directory / MANIFEST_NAME).read_text())
    document["files"][name] = describe(directory / name).model_dump()
    (directory / MANIFEST_NAME).write_text(json.dumps(document))


def faults(directory):
    return {result.name: result.fault for result in verify_weights(directory) if result.fault}


def test_sound_weights_pass_every_check(weights_dir):
    results = list(verify_weights(weights_dir))
    assert all(result.has_passed for result in results)
    assert len(results) == 8


def test_weights_without_graphs_have_fewer_checks(blend_weights_dir):
    results = list(verify_weights(blend_weights_dir))
    assert all(result.has_passed for result in results)
    assert [result.name for result in results] == [
        "schema",
        "name",
        f"SHA-256 of {PARAMETERS_NAME}",
        "golden pair by the network",
    ]


def test_a_graph_of_other_parameters_is_noticed_by_its_answer(copy):
    # Its hash is right: somebody signed the wrong file. No start notices that.
    other = (copy / VALID_GRAPH_NAME).read_bytes()
    replace_and_sign(copy, GRAPH_NAME, other)
    found = faults(copy)
    assert set(found) == {f"golden pair by {GRAPH_NAME}"}


@pytest.mark.parametrize("name", [GRAPH_NAME, VALID_GRAPH_NAME])
def test_a_file_that_is_no_graph_is_told(copy, name):
    replace_and_sign(copy, name, b"not a graph")
    assert faults(copy) == {
        f"golden pair by {name}": f"weights 'lively-0.0.1': {name} does not run in ONNX Runtime"
    }


def test_parameters_that_do_not_fit_fail_the_network_and_not_the_graphs(copy):
    replace_and_sign(copy, PARAMETERS_NAME, b"no safetensors")
    assert set(faults(copy)) == {"golden pair by the network"}


def test_a_missing_file_is_not_run(copy):
    (copy / GRAPH_NAME).unlink()
    states = {one.name: (one.has_passed, one.was_run) for one in verify_weights(copy)}
    assert states[f"SHA-256 of {GRAPH_NAME}"] == (False, True)
    assert states[f"golden pair by {GRAPH_NAME}"] == (False, False)
    assert states[f"golden pair by {VALID_GRAPH_NAME}"] == (True, True)


def test_another_name_is_told_and_the_rest_still_checked(copy):
    moved = copy.rename(copy.with_name("other-1.0.0"))
    assert set(faults(moved)) == {"name"}


def test_without_a_manifest_there_is_one_result(tmp_path):
    (result,) = verify_weights(tmp_path)
    assert not result.has_passed
    assert "expected manifest.json" in result.fault
