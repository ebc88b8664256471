"""Windows reach the device as they are, through memory that is used again and again."""

import logging

import numpy as np
import pytest
import torch

from model.torch_staging import ROOMS, Staging, _Room, copy_pixels
from tests import images
from tests.torch_devices import needs_cuda

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
def test_where_no_page_can_be_locked_copies_are_ordinary_and_the_log_says_so_once(caplog):
    staging = Staging(CPU)
    staging._is_locking = True
    with caplog.at_level(logging.WARNING):
        for pixels in windows(3):
            staged = staging._stage(pixels, _Room())
            np.testing.assert_array_equal(staged.numpy(), pixels)
            assert not np.shares_memory(staged.numpy(), pixels)
        assert staging._lock_pages(10) is None
    assert len(caplog.records) == 1
    assert "page-locked" in caplog.text


def test_a_window_is_sent_into_a_part_of_what_is_reserved():
    staging = Staging(CPU)
    reserved = staging.reserve((2, 40, 50, 3), torch.uint16).zero_()
    pixels = windows(1, np.uint16)[0][:10, :20]
    staging.send_into(pixels, reserved[1, 5:15, 7:27])
    np.testing.assert_array_equal(reserved[1, 5:15, 7:27], pixels)
    assert int(reserved.to(torch.int64).sum()) == int(pixels.sum())
    with pytest.raises(ValueError, match=r"expected room for \(10, 20, 3\) of uint16"):
        staging.send_into(pixels, reserved[1, :9, :20])


def test_what_is_fetched_is_written_where_it_belongs():
    values = torch.from_numpy(images.scene(9, 12))
    landing, into = Staging(CPU).fetch(values), np.zeros((20, 30, 3), np.uint8)
    landing.wait()
    landing.write(into[3:12, 4:16])
    np.testing.assert_array_equal(into[3:12, 4:16], values)
    assert not into[12:].any()


@pytest.mark.parametrize("height", [1, 3, 5, 701])
def test_rows_are_copied_by_several_threads(height):
    pixels = np.random.default_rng(0).integers(0, 256, (height, 600, 3), dtype=np.uint8)
    into = np.zeros((height, 700, 3), np.uint8)[:, 50:-50]
    copy_pixels(pixels, into)
    np.testing.assert_array_equal(into, pixels)


@pytest.mark.gpu
@needs_cuda
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_rooms_are_used_again_only_once_they_are_read(dtype):
    staging = Staging(torch.device("cuda:0"))
    given = windows(8 * ROOMS, dtype)
    sent = [staging.send(pixels) for pixels in given]
    for pixels, one in zip(given, sent, strict=True):
        np.testing.assert_array_equal(one.cpu().numpy(), pixels)


@pytest.mark.gpu
@needs_cuda
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("is_locking", [True, False])
def test_pixels_go_to_the_device_and_back_beside_what_it_computes(dtype, is_locking):
    device = torch.device("cuda:0")
    staging, compute = Staging(device), torch.cuda.Stream(device)
    staging._is_locking = is_locking
    given = [images.scene(700, 900, dtype=dtype, gain=1 / (1 + one)) for one in range(3 * ROOMS)]
    landings = []
    with torch.cuda.stream(compute):
        for pixels in given:
            reserved = staging.reserve((702, 905, 3), staging.send(pixels).dtype)
            part = reserved[1:-1, 2:-3]
            staging.send_into(pixels, part)
            torch.cuda._sleep(1_000_000)
            inverted = torch.bitwise_not(part.view(torch.uint8)).view(part.dtype)
            landings.append(staging.fetch(inverted.contiguous()))
            # Given back while it is still read: others may not be given it before that is over.
            del reserved, part, inverted
    for pixels, landing in zip(given, landings, strict=True):
        landing.wait()
        into = np.zeros_like(pixels)
        landing.write(into)
        np.testing.assert_array_equal(into, ~pixels)
