"""trainhub/core/shares.py: a bounded table whose owners cannot push out each other's entries."""

from random import Random

import pytest

from trainhub.core.shares import Shares


def test_the_owner_with_the_most_entries_makes_room():
    """However many entries one owner adds, the others keep theirs."""
    table = Shares(10)
    for number in range(4):
        table.put("modest", number, "kept")
    for number in range(1_000):
        table.put("greedy", number, "new")
    assert list(table.of("modest")) == [0, 1, 2, 3]
    assert list(table.of("greedy")) == list(range(994, 1_000))
    assert len(table) == 10


def test_an_owner_may_have_a_bound_of_its_own():
    """Then its own oldest entry goes, also while the table has room."""
    table = Shares(100)
    gone = [each for n in range(5) for each in table.put("one", n, n, most_each=3)]
    assert gone == [("one", 0), ("one", 1)]
    assert list(table.of("one")) == [2, 3, 4]


def test_an_entry_that_is_set_again_is_the_newest():
    """It takes no second place."""
    table = Shares(2)
    table.put("one", "a", 1)
    table.put("one", "b", 2)
    assert table.put("one", "a", 3) == []
    assert table.put("one", "c", 4) == [("one", "b")]
    assert table.get("one", "a") == 3
    assert table.get("unknown", "a") is None


@pytest.mark.parametrize("seed", range(20))
def test_by_chance_it_is_never_over_its_bound_and_always_fair(seed):
    """Only an owner with the most entries loses one; the counts agree with the entries."""
    chance, table = Random(seed), Shares(20)
    for _ in range(2_000):
        owner, name = chance.choice("abcdef"), chance.randrange(30)
        if chance.random() < 0.3:
            table.drop(owner, name)
        else:
            before = {each: len(table.of(each)) for each in "abcdef"}
            before[owner] += name not in table.of(owner)
            for loser, _ in table.put(owner, name, None):
                assert before[loser] == max(before.values())
        assert len(table) == sum(len(table.of(each)) for each in "abcdef") <= 20
    for owner, name, _ in list(table.oldest()):
        assert next(iter(table.of(owner))) == name
