from pathlib import Path

import pytest
from pydantic import ValidationError

from service.settings import PACKAGED_WEIGHTS_DIR, SettingsError, load_settings, setting_names


@pytest.fixture(autouse=True)
def _clean_environment(monkeypatch):
    for name in setting_names():
        monkeypatch.delenv(name, raising=False)


def test_defaults_serve_the_bundled_weights_on_the_loopback_address():
    settings = load_settings()
    assert (settings.host, settings.port, settings.device) == ("127.0.0.1", 8000, "auto")
    assert settings.weights_directories == (PACKAGED_WEIGHTS_DIR / "pyramid-blend-2.1.0",)


def test_groups_are_read_with_a_double_underscore(monkeypatch):
    monkeypatch.setenv("EXPOFUSE_PORT", "81")
    monkeypatch.setenv("EXPOFUSE_LIMITS__DEADLINE_S", "2.5")
    monkeypatch.setenv("EXPOFUSE_WORKER__THREADS", "3")
    monkeypatch.setenv("EXPOFUSE_CODEC__PROCESSES", "5")
    settings = load_settings()
    assert settings.port == 81
    assert settings.limits.deadline_s == 2.5
    assert settings.worker.threads == 3
    assert settings.codec.count == 5


def test_an_empty_variable_counts_as_unset(monkeypatch):
    monkeypatch.setenv("EXPOFUSE_METRICS_PORT", "")
    monkeypatch.setenv("EXPOFUSE_WORKER__MAX_BATCH", "")
    settings = load_settings()
    assert settings.metrics_port is None
    assert settings.worker.max_batch is None


def test_weights_may_be_a_name_or_a_path(monkeypatch):
    monkeypatch.setenv("EXPOFUSE_WEIGHTS", "other-2.0.0")
    monkeypatch.setenv("EXPOFUSE_WEIGHTS_DIR", "/somewhere")
    assert load_settings().weights_directories == (Path("/somewhere/other-2.0.0"),)
    monkeypatch.setenv("EXPOFUSE_WEIGHTS", "/elsewhere/mine-1.0.0")
    assert load_settings().weights_directories == (Path("/elsewhere/mine-1.0.0"),)


def test_several_weights_keep_their_order(monkeypatch):
    monkeypatch.setenv("EXPOFUSE_WEIGHTS", "other-2.0.0, /elsewhere/mine-1.0.0,third-0.1.0")
    monkeypatch.setenv("EXPOFUSE_WEIGHTS_DIR", "/somewhere")
    assert load_settings().weights_directories == (
        Path("/somewhere/other-2.0.0"),
        Path("/elsewhere/mine-1.0.0"),
        Path("/somewhere/third-0.1.0"),
    )


@pytest.mark.parametrize(
    ("name", "value", "sentence"),
    [
        ("EXPOFUSE_PROT", "1", "EXPOFUSE_PROT is not a setting .* did you mean EXPOFUSE_PORT"),
        ("EXPOFUSE_WORKER__PRECISON", "x", "did you mean EXPOFUSE_WORKER__PRECISION"),
        ("expofuse_zzzzzzzzzz", "x", r"EXPOFUSE_ZZZZZZZZZZ is not a setting of this service$"),
        ("EXPOFUSE_LIMITS", "{}", "EXPOFUSE_LIMITS is not a setting"),
        ("EXPOFUSE_PORT", "tcp://10.0.0.1:8000", "EXPOFUSE_PORT: .* got 'tcp://10.0.0.1:8000'"),
        ("EXPOFUSE_PORT", "70000", "EXPOFUSE_PORT: .*65535"),
        ("EXPOFUSE_DEVICE", "gpu", "EXPOFUSE_DEVICE: .* got 'gpu'"),
        (
            "EXPOFUSE_WEIGHTS",
            "a-1.0.0,",
            "EXPOFUSE_WEIGHTS: .* one of them is empty, got 'a-1.0.0,'",
        ),
        ("EXPOFUSE_WEIGHTS", "a-1.0.0, ,b-1.0.0", "EXPOFUSE_WEIGHTS: .* one of them is empty"),
        ("EXPOFUSE_LIMITS__DEADLINE_S", "0", "EXPOFUSE_LIMITS__DEADLINE_S: .*greater than 0"),
        ("EXPOFUSE_LIMITS__MAX_BODY_BYTES", "9999999999", "must not be above max_upload_bytes"),
        ("EXPOFUSE_LIMITS__MAX_MEGAPIXELS", "500", "must not be above max_megapixels_in_flight"),
    ],
)
def test_a_wrong_variable_is_one_clear_sentence(monkeypatch, name, value, sentence):
    monkeypatch.setenv(name, value)
    with pytest.raises(SettingsError, match=sentence) as caught:
        load_settings()
    assert "\n" not in str(caught.value)


def test_settings_cannot_be_changed_after_the_start():
    settings = load_settings()
    with pytest.raises(ValidationError):
        settings.port = 1
    with pytest.raises(ValidationError):
        settings.limits.deadline_s = 1


def test_every_setting_has_a_meaning_and_its_default_is_readable():
    names = setting_names()
    assert names["EXPOFUSE_PORT"] == ("8000", "port to listen on; 0: any free one")
    assert names["EXPOFUSE_LIMITS__MAX_JOBS"][0] == "64"
    assert all(meaning for _, meaning in names.values())
    assert all("/" not in default for default, _ in names.values())


def test_origins_are_none_a_list_or_any(monkeypatch):
    assert load_settings().allowed_origins == ()
    monkeypatch.setenv("EXPOFUSE_CORS_ORIGINS", "https://a.example, http://localhost:3000")
    assert load_settings().allowed_origins == ("https://a.example", "http://localhost:3000")
    monkeypatch.setenv("EXPOFUSE_CORS_ORIGINS", "*")
    assert load_settings().allowed_origins == ("*",)


@pytest.mark.parametrize("origins", ["a.example", "https://a.example/", "https://a.example,,*"])
def test_what_is_no_origin_stops_the_start(monkeypatch, origins):
    monkeypatch.setenv("EXPOFUSE_CORS_ORIGINS", origins)
    with pytest.raises(SettingsError, match="scheme://host"):
        load_settings()
