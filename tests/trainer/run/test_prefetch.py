import pytest

from trainer.config import load_config
from trainer.data.triples import TripleDataset
from trainer.run.distributed import join_world
from trainer.run.prefetch import TriplePrefetcher


def test_time_outside_of_steps_is_no_part_of_what_a_step_waits(data_root, config_file, monkeypatch):
    """A clock that the test turns: a step of one second, a fourth of it spent waiting."""
    now = [0.0]
    monkeypatch.setattr("trainer.run.prefetch.perf_counter", lambda: now[0])
    config = load_config(config_file)
    dataset = TripleDataset(data_root, config.data, seed=1, length=8)
    draw = dataset.__getitem__

    def draw_slowly(index):
        now[0] += 0.25
        return draw(index)

    monkeypatch.setattr(TripleDataset, "__getitem__", lambda _, index: draw_slowly(index))
    with join_world() as world:
        prefetcher = TriplePrefetcher(dataset, config, world, range(4))
        prefetcher.next()
        for _ in range(3):
            now[0] += 0.75
            prefetcher.next()
        assert prefetcher.waiting_share == pytest.approx(0.25)
        with prefetcher.outside_steps():
            now[0] += 100
        assert prefetcher.waiting_share == pytest.approx(0.25)
        assert prefetcher.outside_steps_s == pytest.approx(100)
        assert prefetcher.elapsed_s == pytest.approx(103.25)
