"""The bounded queue: order, bound, both ends, and no thread left waiting."""

import contextlib
import threading
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from upscale_cli.jobs.frame_queue import Channel, Closed


def started(body: Callable[[], None]) -> threading.Thread:
    thread = threading.Thread(target=body, daemon=True)
    thread.start()
    return thread


def ended(thread: threading.Thread) -> bool:
    thread.join(10)
    return not thread.is_alive()


@settings(max_examples=30)
@given(items=st.lists(st.integers(), max_size=40), capacity=st.integers(1, 5))
def test_items_come_in_order_and_never_more_than_the_capacity_wait(items: list[int], capacity: int) -> None:
    channel: Channel[int] = Channel(capacity)
    given_, ahead = [], []

    def give() -> None:
        for item in items:
            channel.put(item)
            given_.append(item)
        channel.finish()

    giver = started(give)
    taken = []
    for item in channel:
        taken.append(item)
        ahead.append(len(given_) - len(taken))
    assert ended(giver)
    assert taken == items
    assert max(ahead, default=0) <= capacity


def test_the_giver_waits_when_it_is_full() -> None:
    channel: Channel[int] = Channel(2)
    put: list[int] = []

    def give() -> None:
        with contextlib.suppress(Closed):
            for item in range(5):
                channel.put(item)
                put.append(item)

    giver = started(give)
    giver.join(0.2)
    assert put == [0, 1]
    assert next(iter(channel)) == 0
    giver.join(0.2)
    assert put == [0, 1, 2]
    channel.abort()
    assert ended(giver)


def test_an_abort_wakes_both_sides_and_meets_who_comes_later() -> None:
    full: Channel[int] = Channel(1)
    empty: Channel[int] = Channel(1)
    full.put(1)
    closed: list[str] = []

    def put() -> None:
        with pytest.raises(Closed):
            full.put(2)
        closed.append("giver")

    def take() -> None:
        with pytest.raises(Closed):
            next(iter(empty))
        closed.append("taker")

    threads = [started(put), started(take)]
    full.abort()
    empty.abort()
    assert all(ended(thread) for thread in threads)
    assert sorted(closed) == ["giver", "taker"]
    with pytest.raises(Closed):
        full.put(3)
    with pytest.raises(Closed):
        next(iter(full))


def test_after_the_end_comes_nothing_and_what_is_on_the_way_still_arrives() -> None:
    channel: Channel[int] = Channel(3)
    channel.put(1)
    channel.put(2)
    channel.finish()
    assert list(channel) == [1, 2]
    assert list(channel) == []


def test_an_abort_frees_the_others_of_a_lock_that_ctrl_c_has_left_behind() -> None:
    """The handler of a signal may raise when the lock is taken and the block that would release it is not entered."""
    channel: Channel[int] = Channel(1)

    def take() -> None:
        with contextlib.suppress(Closed):
            list(channel)

    taker = threading.Thread(target=take, daemon=True)
    taker.start()
    channel._changed.acquire()
    channel.abort()
    taker.join(30)
    assert not taker.is_alive()
