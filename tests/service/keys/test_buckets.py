from service.keys import buckets
from service.keys.buckets import AddressBuckets, Bucket


class Clock:
    def __init__(self):
        self.now = 0.0

    def __call__(self):
        return self.now


def test_a_bucket_gives_a_minutes_worth_at_once_and_then_as_it_comes_back():
    clock = Clock()
    bucket = Bucket(60, clock=clock)
    for _ in range(60):
        assert bucket.find_wait_s(1) == 0
        bucket.take(1)
    assert (bucket.find_wait_s(1), bucket.left, bucket.full_in_s) == (1.0, 0, 60)
    clock.now = 1.0
    assert bucket.find_wait_s(1) == 0
    assert bucket.find_wait_s(2) == 1.0
    clock.now = 1000.0
    assert (bucket.left, bucket.full_in_s) == (60, 0)


def test_what_costs_more_than_a_bucket_holds_leaves_a_debt():
    clock = Clock()
    bucket = Bucket(60, clock=clock)
    bucket.take(180)
    assert bucket.left == 0
    assert bucket.find_wait_s(1) == 121
    clock.now = 180
    assert bucket.left == 60


def test_what_is_given_back_is_there_again_and_no_more():
    bucket = Bucket(60, clock=Clock())
    bucket.take(10)
    bucket.give_back(10)
    bucket.give_back(10)
    assert bucket.left == 60


def test_another_size_keeps_what_was_used():
    bucket = Bucket(60, clock=Clock())
    bucket.take(10)
    bucket.resize(20)
    assert bucket.left == 10
    bucket.resize(100)
    assert bucket.left == 90


def test_addresses_have_a_bucket_each_and_networks_of_ipv6_one_together():
    addresses = AddressBuckets(1)
    addresses.find("192.0.2.1").take(1)
    assert addresses.find("192.0.2.1").left == 0
    assert addresses.find("192.0.2.2").left == 1
    addresses.find("2001:db8::1").take(1)
    assert addresses.find("2001:db8::2").left == 0
    assert addresses.find("::ffff:192.0.2.1").left == 0


def test_only_the_addresses_that_were_seen_last_are_remembered(monkeypatch):
    monkeypatch.setattr(buckets, "MAX_ADDRESSES", 2)
    addresses = AddressBuckets(1)
    for number in (1, 2, 3):
        addresses.find(f"192.0.2.{number}").take(1)
    assert addresses.find("192.0.2.3").left == 0
    assert addresses.find("192.0.2.1").left == 1
