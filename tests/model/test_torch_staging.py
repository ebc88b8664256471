"""Windows reach the device as they are, through memory that is used again and again."""

import logging

import numpy as np
import pytest
import torch

from model.torch_staging import ROOMS, Staging
from tests import images

CPU = torch.device("cpu")


def windows(count, dtype=np.uint8):
    picture = images.scene(120, 160, dtype=dtype)
    return [picture[top : top + 40, 7 * top : 7 * top + 50] for top in range(count)]


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_a_window_arrives_as_it_is_and_is_no_view(dtype):
    staging = Staging(CPU)
    pixels = images.scene(dtype=dtype)[3:20, 5:40]
    sent = staging.send(pixels)
    np.testing.assert_array_equal(sent.numpy(), pixels)
    pixels[...] = 0
    assert sent.numpy().any()


@pytest.mark.skipif(torch.cuda.is_available(), reason="here pages can be locked")
def test_where_no_page_can_be_locked_windows_are_copied_and_the_log_says_so_once(caplog):
    staging = Staging(CPU)
    staging._is_locking = True
    with caplog.at_level(logging.WARNING):
        for pixels in windows(3):
            np.testing.assert_array_equal(staging.send(pixels).numpy(), pixels)
    assert [record.message for record in caplog.records].count(caplog.messages[0]) == 1
    assert "page-locked" in caplog.text


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_rooms_are_used_again_only_once_they_are_read(dtype):
    staging = Staging(torch.device("cuda:0"))
    given = windows(8 * ROOMS, dtype)
    sent = [staging.send(pixels) for pixels in given]
    for pixels, one in zip(given, sent, strict=True):
        np.testing.assert_array_equal(one.cpu().numpy(), pixels)
