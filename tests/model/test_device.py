import pytest
import torch

from model.device import resolve_device


@pytest.mark.parametrize(
    ("count", "device", "expected"),
    [
        (0, "auto", "cpu"),
        (2, "auto", "cuda:0"),
        (2, "cpu", "cpu"),
        (2, "cuda", "cuda:0"),
        (2, "cuda:1", "cuda:1"),
    ],
)
def test_resolve_device_finds_the_device(monkeypatch, count, device, expected):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: count > 0)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: count)
    assert resolve_device(device) == expected


@pytest.mark.parametrize(
    ("count", "device", "message"),
    [
        (0, "cuda:0", "below cuda:0"),
        (2, "cuda:2", "below cuda:2"),
        (2, "cuda:x", "auto, cpu or cuda:N"),
        (2, "mps", "auto, cpu or cuda:N"),
        (2, "", "auto, cpu or cuda:N"),
    ],
)
def test_resolve_device_refuses_what_is_not_there(monkeypatch, count, device, message):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: count > 0)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: count)
    with pytest.raises(ValueError, match=message):
        resolve_device(device)
