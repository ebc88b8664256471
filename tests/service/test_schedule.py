from model.tiling import Rect, Window
from service.schedule import WindowSchedule


def windows(count, side=16, kind="interior"):
    return tuple(
        Window(kind, Rect(0, side * index, side, side), Rect(0, side * index, side, side))
        for index in range(count)
    )


def drain(schedule, limit):
    batches = []
    while batch := schedule.next_batch(limit):
        batches.append([number for number, _ in batch])
    return batches


def test_an_empty_schedule_gives_an_empty_batch():
    assert WindowSchedule().next_batch(4) == []


def test_every_window_comes_exactly_once():
    schedule = WindowSchedule()
    given = windows(5) + windows(3, side=8) + windows(2, kind="border")
    schedule.add(1, given)
    taken = []
    while batch := schedule.next_batch(3):
        taken += [window for _, window in batch]
    assert sorted(taken, key=repr) == sorted(given, key=repr)


def test_a_micro_batch_holds_windows_of_one_key():
    schedule = WindowSchedule()
    schedule.add(1, windows(3) + windows(3, side=8))
    schedule.add(2, windows(3, side=8) + windows(3, kind="border"))
    while batch := schedule.next_batch(4):
        assert len({window.batch_key for _, window in batch}) == 1


def test_jobs_of_equal_windows_share_a_micro_batch_in_turn():
    schedule = WindowSchedule()
    for number in (1, 2, 3):
        schedule.add(number, windows(4))
    assert [number for number, _ in schedule.next_batch(3)] == [1, 2, 3]
    assert [number for number, _ in schedule.next_batch(4)] == [2, 3, 1, 2]


def test_one_job_alone_fills_the_micro_batch():
    schedule = WindowSchedule()
    schedule.add(1, windows(5))
    assert drain(schedule, 4) == [[1, 1, 1, 1], [1]]


def test_jobs_of_different_windows_take_turns():
    schedule = WindowSchedule()
    schedule.add(1, windows(6))
    schedule.add(2, windows(2, side=8))
    assert drain(schedule, 1) == [[1], [2], [1], [2], [1], [1], [1], [1]]


def test_a_dropped_job_leaves_nothing_behind():
    schedule = WindowSchedule()
    schedule.add(1, windows(3))
    schedule.add(2, windows(1))
    schedule.drop(1)
    schedule.drop(1)
    assert drain(schedule, 4) == [[2]]
