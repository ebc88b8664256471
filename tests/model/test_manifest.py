"""What a released manifest must keep meaning, and what the schema refuses."""

import json
from pathlib import Path

import pytest

from model.errors import WeightsError
from model.manifest import (
    PARAMETERS_NAME,
    Evaluation,
    Manifest,
    NetworkConfig,
    PyramidBlendConfig,
    count_parameters,
    read_manifest,
    verify_file,
    write_manifest,
)
from tests.paths import ROOT

BUNDLED = ROOT / "weights" / "hyperp-mb-1.1.0"
ADDED = ("summary", "intended_use", "limits")
ADDED_TO_TRAINING = ("checkpoint", "exported_step", "started_from")
ADDED_TO_EVALUATION = ("methods", "ranks", "lower_is_better", "align")


@pytest.fixture
def first_schema():
    """The bundled manifest with the keys that the first version was released with."""
    document = json.loads((BUNDLED / "manifest.json").read_text())
    for key in ADDED:
        document.pop(key, None)
    for key in ADDED_TO_TRAINING:
        document["training"].pop(key, None)
    for evaluation in document["evaluation"]:
        for key in ADDED_TO_EVALUATION:
            evaluation.pop(key, None)
    return document


def test_a_manifest_of_the_first_schema_is_read(first_schema):
    first_schema["evaluation"] = [{"dataset": "set", "pairs": 2, "scores": {"AG": 5.0}}]
    manifest = Manifest.model_validate_json(json.dumps(first_schema))
    assert manifest.label == "hyperp-mb-1.1.0"
    assert (manifest.summary, manifest.intended_use, manifest.limits) == ("", "", ())
    assert manifest.training.checkpoint == "last"
    assert manifest.training.exported_step is None
    assert manifest.evaluation == (Evaluation(dataset="set", pairs=2, scores={"AG": 5.0}),)


@pytest.mark.parametrize(
    "directory", sorted(BUNDLED.parent.glob("hyperp-mb-*")), ids=lambda path: path.name
)
def test_a_released_manifest_is_written_as_it_was_read_byte_by_byte(directory, tmp_path):
    write_manifest(read_manifest(directory), tmp_path)
    assert (tmp_path / "manifest.json").read_bytes() == (directory / "manifest.json").read_bytes()


def test_a_config_that_names_no_architecture_is_of_the_first(first_schema):
    first_schema["network"] = {"width": 2}
    assert Manifest.model_validate(first_schema).network == NetworkConfig(width=2)


def make_blend_document(first_schema):
    network = {"architecture": "pyramid-blend", "dilations": [1, 3]}
    return {**first_schema, "network": network, "chroma": "blend", "receptive_field": None}


def test_a_manifest_of_the_other_architecture_survives_writing_and_reading(first_schema, tmp_path):
    manifest = Manifest.model_validate_json(json.dumps(make_blend_document(first_schema)))
    assert manifest.network == PyramidBlendConfig(dilations=(1, 3))
    assert manifest.receptive_field is None
    write_manifest(manifest, tmp_path)
    assert read_manifest(tmp_path) == manifest


@pytest.mark.parametrize(
    ("changes", "where"),
    [
        ({"network": {"architecture": "another"}}, "at 'network'"),
        ({"network": {"architecture": "pyramid-blend", "depth": 3}}, r"at 'network\.depth'"),
        ({"network": {"architecture": "pyramid-blend", "dilations": [0]}}, r"dilations\.0'"),
        ({"chroma": "mean"}, "chroma 'mean' does not go with pyramid-blend"),
        ({"network": {"width": 2}}, "chroma 'blend' does not go with hyperp-mb"),
    ],
)
def test_a_config_or_a_rule_that_no_network_has_is_refused(first_schema, tmp_path, changes, where):
    document = {**make_blend_document(first_schema), **changes}
    (tmp_path / "manifest.json").write_text(json.dumps(document))
    with pytest.raises(WeightsError, match=where):
        read_manifest(tmp_path)


def test_the_bundled_manifest_still_has_every_key_that_it_was_released_with(first_schema):
    assert set(first_schema) == {
        "schema_version", "name", "version", "network", "files", "receptive_field",
        "size_multiple", "accepted_exposures", "chroma", "reference", "golden", "training",
        "evaluation",
    }  # fmt: skip


def test_texts_and_evaluations_survive_writing_and_reading(tmp_path):
    evaluation = Evaluation(
        dataset="set",
        pairs=2,
        scores={"PIQE": 20.0, "AG": 5.0},
        methods={"peer": {"AG": 4.0}},
        ranks={"hyperp-mb-1.1.0": 1.0, "peer": 2.0},
        lower_is_better=("PIQE",),
        align="auto",
    )
    added = {"summary": "s", "intended_use": "ü", "limits": ("a", "b"), "evaluation": (evaluation,)}
    manifest = read_manifest(BUNDLED).model_copy(update=added)
    write_manifest(manifest, tmp_path)
    again = read_manifest(tmp_path)
    assert again == manifest
    assert list(again.evaluation[0].scores) == ["PIQE", "AG"]


@pytest.mark.parametrize(
    ("group", "key", "value"),
    [
        ("golden", "side_px", 1_000_000),
        ("golden", "side_px", 1),
        ("golden", "seed", -1),
        ("golden", "mean", "nan"),
        ("golden", "samples", [1.0, float("inf")]),
        ("training", "checkpoint", "first"),
    ],
)
def test_values_that_no_export_writes_are_refused_by_name(
    first_schema, tmp_path, group, key, value
):
    first_schema[group][key] = value
    (tmp_path / "manifest.json").write_text(json.dumps(first_schema))
    with pytest.raises(WeightsError, match=rf"at '{group}\.{key}"):
        read_manifest(tmp_path)


def test_a_score_that_is_no_number_is_refused():
    with pytest.raises(ValueError, match="finite"):
        Evaluation(dataset="set", pairs=1, scores={"AG": float("nan")})


def test_parameters_are_counted_without_loading_them(loaded_weights):
    expected = sum(one.size for one in loaded_weights.parameters.values())
    assert count_parameters(loaded_weights.manifest, loaded_weights.directory) == expected


def test_a_parameters_file_that_is_missing_or_something_else_is_told(tmp_path):
    manifest = read_manifest(BUNDLED)
    with pytest.raises(WeightsError, match="expected the file network"):
        count_parameters(manifest, tmp_path)
    (tmp_path / PARAMETERS_NAME).write_bytes(b"\x00" * 64)
    with pytest.raises(WeightsError, match="not a safetensors file"):
        count_parameters(manifest, tmp_path)


def test_a_file_that_the_manifest_does_not_name_is_told():
    with pytest.raises(WeightsError, match=r"names no other\.onnx"):
        verify_file(read_manifest(BUNDLED), BUNDLED, "other.onnx")


def test_a_manifest_stays_whole_when_writing_its_successor_fails(tmp_path, monkeypatch):
    manifest = read_manifest(BUNDLED)
    write_manifest(manifest, tmp_path)

    def fill_the_disk(path, text, **how):
        path.write_bytes(text.encode()[:100])
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_text", fill_the_disk)
    with pytest.raises(OSError, match="No space"):
        write_manifest(manifest.model_copy(update={"summary": "New."}), tmp_path)
    assert read_manifest(tmp_path) == manifest
