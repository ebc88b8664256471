from model.tiling import Rect, Window
from service.device.schedule import WindowSchedule


def windows(count, side=16, kind="interior"):
    return tuple(
        Window(kind, Rect(0, side * index, side, side), Rect(0, side * index, side, side))
        for index in range(count)
    )


def add(schedule, number, passes, weights="a-1.0.0", rank=0.0):
    schedule.add(number, passes, weights=weights, rank=rank)


def drain(schedule, limit):
    batches = []
    while batch := schedule.next_batch(limit):
        batches.append([number for number, _ in batch])
        count_all(schedule, batch)
    return batches


def count_all(schedule, batch):
    return [number for number, _ in batch if schedule.count_fused(number)]


def test_an_empty_schedule_gives_an_empty_batch():
    assert WindowSchedule().next_batch(4) == []


def test_every_window_comes_exactly_once():
    schedule = WindowSchedule()
    given = windows(5) + windows(3, side=8) + windows(2, kind="border")
    add(schedule, 1, [given])
    taken = []
    while batch := schedule.next_batch(3):
        taken += [window for _, window in batch]
    assert sorted(taken, key=repr) == sorted(given, key=repr)


def test_a_micro_batch_holds_windows_of_one_key():
    schedule = WindowSchedule()
    add(schedule, 1, [windows(3) + windows(3, side=8)])
    add(schedule, 2, [windows(3, side=8) + windows(3, kind="border")])
    while batch := schedule.next_batch(4):
        assert len({window.batch_key for _, window in batch}) == 1


def test_jobs_of_equal_windows_share_a_micro_batch_in_the_order_of_their_turns():
    schedule = WindowSchedule()
    for number, rank in ((1, 3.0), (2, 1.0), (3, 2.0)):
        add(schedule, number, [windows(2)], rank=rank)
    assert drain(schedule, 5) == [[2, 2, 3, 3, 1], [1]]


def test_of_equal_turns_the_first_that_came_is_first():
    schedule = WindowSchedule()
    for number in (5, 4, 6):
        add(schedule, number, [windows(1)])
    assert drain(schedule, 1) == [[5], [4], [6]]


def test_jobs_behind_the_first_fill_a_micro_batch_up_to_what_the_device_needs():
    schedule = WindowSchedule()
    for number in (1, 2, 3):
        add(schedule, number, [windows(3)], rank=number)
    assert [number for number, _ in schedule.next_batch(8, shared=2)] == [1, 1, 1]
    assert [number for number, _ in schedule.next_batch(8, shared=4)] == [2, 2, 2, 3]
    assert [number for number, _ in schedule.next_batch(8, shared=2)] == [3, 3]


def test_one_job_alone_fills_the_micro_batch():
    schedule = WindowSchedule()
    add(schedule, 1, [windows(5)])
    assert drain(schedule, 4) == [[1, 1, 1, 1], [1]]


def test_a_job_that_comes_later_goes_first_where_its_turn_is_earlier():
    schedule = WindowSchedule()
    add(schedule, 1, [windows(6)], rank=2.0)
    assert [number for number, _ in schedule.next_batch(2)] == [1, 1]
    add(schedule, 2, [windows(2, side=8)], rank=1.0)
    assert drain(schedule, 2) == [[2, 2], [1, 1], [1, 1]]


def test_a_dropped_job_leaves_nothing_behind():
    schedule = WindowSchedule()
    add(schedule, 1, [windows(3)])
    add(schedule, 2, [windows(1)])
    schedule.drop(1)
    schedule.drop(1)
    assert drain(schedule, 4) == [[2]]


def test_a_pass_is_open_once_the_last_window_of_the_one_before_is_fused():
    schedule = WindowSchedule()
    passes = [windows(3), windows(1, kind="border"), windows(2)]
    add(schedule, 1, passes)
    first = schedule.next_batch(2) + schedule.next_batch(2)
    assert [window for _, window in first] == list(passes[0])
    assert schedule.next_batch(2) == []
    assert count_all(schedule, first[:2]) == []
    assert schedule.next_batch(2) == []
    assert count_all(schedule, first[2:]) == []
    second = schedule.next_batch(2)
    assert second == [(1, passes[1][0])]
    assert schedule.next_batch(2) == []
    assert count_all(schedule, second) == []
    third = schedule.next_batch(2)
    assert [window for _, window in third] == list(passes[2])
    assert count_all(schedule, third) == [1]
    assert schedule.next_batch(2) == []


def test_a_job_that_waits_for_its_pass_holds_no_other_up():
    schedule = WindowSchedule()
    add(schedule, 1, [windows(1), windows(1)])
    add(schedule, 2, [windows(2, side=8)])
    taken = schedule.next_batch(1)
    assert [number for number, _ in taken] == [1]
    assert drain(schedule, 1) == [[2], [2]]
    count_all(schedule, taken)
    assert drain(schedule, 1) == [[1]]


def test_a_small_job_of_many_passes_is_done_before_large_ones_go_on():
    schedule = WindowSchedule()
    for number in (1, 2, 3):
        add(schedule, number, [windows(40), windows(40, side=8)], rank=5.0)
    passes = [windows(1, side=4), windows(1, kind="border"), windows(2, side=4)]
    add(schedule, 4, passes, rank=1.0)
    assert drain(schedule, 1)[:5] == [[4], [4], [4], [4], [1]]


def test_windows_of_different_passes_share_a_micro_batch_where_their_keys_are_equal():
    schedule = WindowSchedule()
    add(schedule, 1, [windows(1), windows(1)])
    count_all(schedule, schedule.next_batch(1))
    add(schedule, 2, [windows(1), windows(1, kind="border")])
    assert [number for number, _ in schedule.next_batch(4)] == [1, 2]


def test_a_job_dropped_between_its_passes_leaves_nothing_behind():
    schedule = WindowSchedule()
    add(schedule, 1, [windows(1), windows(3)])
    count_all(schedule, schedule.next_batch(1))
    schedule.drop(1)
    add(schedule, 2, [windows(1)])
    assert drain(schedule, 4) == [[2]]


def test_a_micro_batch_holds_windows_of_one_weights_version():
    schedule = WindowSchedule()
    for number, weights in enumerate(["a-1.0.0", "b-1.0.0", "a-1.0.0", "b-1.0.0"]):
        add(schedule, number, [windows(2)], weights)
    assert schedule.next_weights == "a-1.0.0"
    assert [number for number, _ in schedule.next_batch(8)] == [0, 0, 2, 2]
    assert schedule.next_weights == "b-1.0.0"
    assert [number for number, _ in schedule.next_batch(8)] == [1, 1, 3, 3]
    assert schedule.next_weights is None
