"""The adapter bank: a slot that somebody holds is never rewritten."""

import threading
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import settings
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule
from hypothesis.strategies import integers, sets

from engine.adapter import PackedAdapter
from engine.bank import AdapterBank, NoFreeSlot
from engine.base import BaseSpec, TargetLayer, bank_shapes

SPEC = BaseSpec(
    name="small",
    source="here",
    aliases=(),
    revision="1",
    license="none",
    architecture="None",
    modality="text",
    task="text-classification",
    pooling="mean",
    own_pooling="mean",
    hidden=4,
    max_tokens=8,
    max_rank=2,
    max_labels=3,
    layers=(TargetLayer("a", 4, 4),),
    parameters=0,
    weights_sha256="0",
    backbone_artifact="",
    pad_token_id=0,
    preprocessing="",
)


def filled(value: float) -> PackedAdapter:
    """An adapter whose every number is `value`, so that one look at a slot tells whose it is."""
    shapes = bank_shapes(SPEC, 1)
    return PackedAdapter(("x", "y"), 2, {name: np.full(shape[1:], value, np.float32) for name, shape in shapes.items()})


def owner_of(bank: AdapterBank, slot: int) -> set[float]:
    return {float(value) for array in bank.arrays.values() for value in np.unique(array[slot])}


class BankMachine(RuleBasedStateMachine):
    """Loads, leases, pins and releases in any order, on three slots and six adapters."""

    def __init__(self) -> None:
        super().__init__()
        self.bank = AdapterBank(SPEC, 3)
        self.held: list[tuple[str, int]] = []
        self.pinned: set[int] = set()

    @rule(number=integers(1, 6))
    def load(self, number: int) -> None:
        try:
            self.bank.load(f"a{number}", filled(number))
        except NoFreeSlot:
            kept = {key for key, _ in self.held} | {f"a{n}" for n in self.pinned}
            assert len(kept) >= 3, "refused although a slot could have been freed"

    @rule(number=integers(1, 6))
    def lease(self, number: int) -> None:
        slot = self.bank.lease(f"a{number}")
        if slot is not None:
            self.held.append((f"a{number}", slot))

    @precondition(lambda self: self.held)
    @rule(which=integers(0, 100))
    def release(self, which: int) -> None:
        key, _ = self.held.pop(which % len(self.held))
        self.bank.release(key)

    @rule(numbers=sets(integers(1, 6), max_size=2))
    def pin(self, numbers: set[int]) -> None:
        self.pinned = numbers
        self.bank.pin(f"a{number}" for number in numbers)

    @rule(number=integers(1, 6))
    def evict(self, number: int) -> None:
        gone = self.bank.evict(f"a{number}")
        assert not (gone and f"a{number}" in {key for key, _ in self.held})
        assert not (gone and number in self.pinned)

    @invariant()
    def what_is_held_lies_untouched_in_its_slot(self) -> None:
        for key, slot in self.held:
            assert owner_of(self.bank, slot) == {float(key[1:])}

    @invariant()
    def every_slot_is_accounted_for(self) -> None:
        stats = self.bank.stats()
        assert stats.free + stats.resident == 3


TestBank = BankMachine.TestCase
TestBank.settings = settings(max_examples=60, stateful_step_count=30, deadline=None)


def test_the_least_recently_used_adapter_makes_room() -> None:
    bank = AdapterBank(SPEC, 2)
    bank.load("old", filled(1))
    bank.load("new", filled(2))
    assert bank.lease("old") is not None  # used, so it is the younger one now
    bank.release("old")
    bank.load("third", filled(3))
    assert bank.lease("new") is None
    assert bank.lease("old") is not None


def test_a_full_bank_says_what_to_do() -> None:
    bank = AdapterBank(SPEC, 2)
    bank.load("a", filled(1))
    bank.load("b", filled(2))
    bank.pin(["a", "b"])
    with pytest.raises(NoFreeSlot, match=r"all 2 adapter slots .* raise DRIFTGATE_SLOTS"):
        bank.load("c", filled(3))


def test_loads_from_many_threads_leave_each_adapter_whole() -> None:
    bank = AdapterBank(SPEC, 8)
    start = threading.Barrier(16)

    def load(number: int) -> None:
        start.wait()
        bank.load(f"a{number}", filled(number))

    threads = [threading.Thread(target=load, args=(1 + i % 8,)) for i in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for number in range(1, 9):
        slot = bank.lease(f"a{number}")
        assert slot is not None
        assert owner_of(bank, slot) == {float(number)}
    assert bank.stats().free == 0


def test_an_adapter_for_another_base_does_not_cost_a_slot() -> None:
    bank = AdapterBank(replace(SPEC, hidden=5), 1)
    with pytest.raises(ValueError, match="broadcast"):
        bank.load("other", filled(1))
    assert bank.stats().free == 1
