"""Admission: turns, fairness between keys, and refusals."""

from __future__ import annotations

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from interpreter_tools.server import Quota
from interpreter_tools.server._admission import Admission
from interpreter_tools.server._errors import Refused, Unavailable
from interpreter_tools.server._keys import Owner


async def _settle() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


async def test_runs_beyond_the_slots_wait_and_are_counted():
    """Two slots: the third waits until one is free."""
    admission, owner = Admission(slots=2, queue=10), Owner("a")
    async with admission.slot(owner), admission.slot(owner):
        third = asyncio.create_task(admission.acquire(owner))
        await _settle()
        assert (admission.running, admission.waiting, third.done()) == (2, 1, False)
    await third
    admission.release(owner)
    assert (admission.running, admission.waiting, owner.running) == (0, 0, 0)


async def test_cell_that_waits_for_its_client_holds_nobody_up():
    """Its slot is another's meanwhile; it goes on at once, and all is counted to the end."""
    admission, owner = Admission(slots=1, queue=10), Owner("a")
    async with admission.slot(owner) as waiting:
        second = asyncio.create_task(admission.acquire(owner))
        await _settle()
        assert not second.done()
        waiting.lend()
        waiting.lend()
        await second
        assert admission.running == 1
        waiting.take_back()
        waiting.take_back()
        assert (admission.running, owner.running) == (2, 2)
        waiting.lend()
    assert (admission.running, owner.running) == (1, 1)
    admission.release(owner)
    await admission.idle()
    assert (admission.running, admission.waiting, owner.running) == (0, 0, 0)


async def test_keys_have_turns_one_after_another():
    """A key with many callers does not keep another key waiting behind all of them."""
    admission = Admission(slots=1, queue=100)
    greedy, modest, order = Owner("greedy"), Owner("modest"), list[str]()

    async def work(owner: Owner) -> None:
        async with admission.slot(owner):
            order.append(owner.id)
            await asyncio.sleep(0)

    tasks = [asyncio.create_task(work(greedy)) for _ in range(20)]
    await _settle()
    tasks += [asyncio.create_task(work(modest)) for _ in range(3)]
    await asyncio.gather(*tasks)
    assert [place for place, owner in enumerate(order) if owner == "modest"][-1] < 12


async def test_full_queue_refuses_the_newest_of_the_key_that_has_most():
    """Another key's caller gets the place; the key that filled the queue is refused, with the time to come again."""
    admission = Admission(slots=1, queue=4)
    greedy, modest = Owner("greedy"), Owner("modest")
    await admission.acquire(greedy)
    waiting = [asyncio.create_task(admission.acquire(greedy)) for _ in range(4)]
    await _settle()
    with pytest.raises(Refused) as caught:
        await admission.acquire(greedy)
    assert caught.value.status == 429
    assert int(caught.value.headers["Retry-After"]) >= 1
    other = asyncio.create_task(admission.acquire(modest))
    await _settle()
    with pytest.raises(Refused):
        await waiting[-1]
    admission.release(greedy)
    await waiting[0]
    admission.release(greedy)
    await other
    for task in waiting[1:3]:
        task.cancel()
    await asyncio.wait(waiting[1:3])
    assert admission.waiting == 0


async def test_key_has_no_more_runs_at_once_than_its_quota():
    """The rest waits, and others pass."""
    admission, limited, free = Admission(slots=4, queue=10), Owner("l", Quota(runs=1)), Owner("f")
    await admission.acquire(limited)
    second = asyncio.create_task(admission.acquire(limited))
    await _settle()
    assert not second.done()
    await admission.acquire(free)
    admission.release(limited)
    await second
    assert limited.running == 1


async def test_closed_admission_refuses_waiters_and_tells_when_it_is_idle():
    """What runs goes on; what waits or comes is told to come again."""
    admission, owner = Admission(slots=1, queue=10), Owner("a")
    await admission.acquire(owner)
    waiting = asyncio.create_task(admission.acquire(owner))
    await _settle()
    admission.close()
    with pytest.raises(Unavailable):
        await waiting
    with pytest.raises(Unavailable):
        await admission.acquire(owner)
    idle = asyncio.create_task(admission.idle())
    await _settle()
    assert not idle.done()
    admission.release(owner)
    await idle


@given(st.lists(st.tuples(st.integers(0, 2), st.integers(0, 3), st.booleans()), max_size=60))
def test_no_slot_is_lost_however_callers_come_and_go(steps: list[tuple[int, int, bool]]):
    """Cancelled, refused and served callers of three keys: at the end nothing runs, and nothing waits."""

    async def scenario() -> None:
        admission = Admission(slots=2, queue=5)
        owners = [Owner("a", Quota(runs=1)), Owner("b"), Owner("c")]

        async def work(owner: Owner, turns: int) -> None:
            async with admission.slot(owner):
                assert admission.running <= 2
                assert owner is not owners[0] or owner.running == 1
                for _ in range(turns):
                    await asyncio.sleep(0)

        tasks: list[asyncio.Task[None]] = []
        for number, turns, cancel in steps:
            tasks.append(asyncio.create_task(work(owners[number], turns)))
            await asyncio.sleep(0)
            if cancel:
                tasks[len(tasks) // 2].cancel()
        for result in await asyncio.gather(*tasks, return_exceptions=True):
            assert result is None or isinstance(result, (Refused, asyncio.CancelledError))
        assert (admission.running, admission.waiting) == (0, 0)
        assert [owner.running for owner in owners] == [0, 0, 0]

    asyncio.run(scenario())
