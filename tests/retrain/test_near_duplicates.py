import random
import string

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from retrain.dataset import group_key
from retrain.near_duplicates import MAX_GROUP_SHARE, find_near_duplicates, join

UNHURRIED = settings(deadline=None)  # a busy machine looks ten times as long for near duplicates

SENTENCE = "could you tell me where my parcel from last week is"
OTHERS = [
    "what is the balance of my savings account",
    "play some quiet music in the kitchen",
    "how do i reset the password of my router",
    "book a table for two at eight tonight",
    "my card was charged twice for one order",
]


def near(one, other):
    keys = [group_key(text) for text in (one, other, *OTHERS)]
    found = find_near_duplicates(keys)
    return found.leader(keys[0]) == found.leader(keys[1])


@pytest.mark.parametrize(
    "written",
    [
        "COULD YOU TELL ME WHERE MY PARCEL FROM LAST WEEK IS",
        "could you tell me: where my parcel, from last week, is?!",
        "could you tell me where my parcel from lastweek is",
        "could you tell me where my parcle from last week is",
        "could you tell me were my parcel from last week iss",
        "please could you tell me where my parcel from last week is",
        "could you tell where me my parcel from last week is",
        "could you tell me where my parcels from last week are",
    ],
)
def test_one_text_written_twice_is_found(written):
    assert near(SENTENCE, written)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("what is my balance", "what is my limit"),
        ("cancel my order", "cancel my card"),
        ("rate this novel 4 of 6", "rate this novel 5 of 6"),
        ("where is order 1234 that i made last week", "where is order 1235 that i made last week"),
        ("yes", "no"),
        ("!!!", "???"),
        ("\N{THUMBS UP SIGN}", "\N{THUMBS DOWN SIGN}"),
    ],
)
def test_texts_that_mean_different_things_are_not(one, other):
    assert not near(one, other)


texts = st.lists(
    st.lists(st.sampled_from(["where", "is", "my", "parcel", "card", "7", "late", "order"]), max_size=9).map(" ".join),
    max_size=30,
)


@UNHURRIED
@given(texts, st.randoms(use_true_random=False))
def test_order_does_not_matter_and_links_agree_with_leaders(some, rng):
    found = find_near_duplicates(some)
    assert find_near_duplicates(rng.sample(some, len(some))) == found
    for one, other in found.links:
        assert one < other
        assert found.leader(one) == found.leader(other) <= one
    assert set(found.leaders) == {text for pair in found.links for text in pair}


@UNHURRIED
@given(
    st.lists(st.text(string.ascii_lowercase, min_size=3, max_size=8), min_size=4, max_size=9),
    st.integers(0, 2**32),
    st.sampled_from(["typo", "casing", "filler", "swap"]),
)
def test_every_small_change_of_a_sentence_is_found(words, seed, kind):
    rng = random.Random(seed)
    changed = list(words)
    place = rng.randrange(len(words) - 1)
    match kind:
        case "typo":
            word = words[place]
            at = rng.randrange(len(word))
            changed[place] = word[:at] + rng.choice(string.ascii_lowercase) + word[at + rng.randrange(2) :]
        case "casing":
            changed[place] = words[place].upper()
        case "filler":
            changed.insert(place, "please")
        case "swap":
            changed[place : place + 2] = reversed(words[place : place + 2])
    keys = [group_key(" ".join(words)), group_key(" ".join(changed))]
    found = find_near_duplicates([*keys, *OTHERS])
    assert found.leader(keys[0]) == found.leader(keys[1])


def test_long_texts_with_a_few_other_words_are_found():
    rng = random.Random(4)
    words = ["".join(rng.choices(string.ascii_lowercase, k=6)) for _ in range(400)]
    long = rng.choices(words, k=200)
    copy = list(long)
    for place in (20, 90, 150):
        copy[place] = "otherwise"
    assert near(" ".join(long), " ".join(copy))
    assert not near(" ".join(long), " ".join(rng.choices(words, k=200)))


def test_a_chain_of_small_changes_does_not_make_one_group_of_all_data():
    rng = random.Random(1)
    words = ["".join(rng.choices(string.ascii_lowercase, k=5)) for _ in range(500)]
    chain = [" ".join(words[i : i + 12]) for i in range(400)]
    found = find_near_duplicates([group_key(text) for text in chain])
    groups = [found.leader(group_key(text)) for text in chain]
    assert max(map(groups.count, set(groups))) <= MAX_GROUP_SHARE * len(chain)


def test_nothing_and_empty_texts_have_no_near_duplicates():
    assert find_near_duplicates([]).links == ()
    assert find_near_duplicates(["", "!"]).links == ()


@UNHURRIED
@given(st.integers(1, 40), st.data())
def test_components_are_those_of_a_walk(count, data):
    places = st.integers(0, count - 1)
    links = data.draw(st.lists(st.tuples(places, places), max_size=40))
    above = join(count, links)
    for start in range(count):
        reached, waiting = {start}, [start]
        while waiting:
            here = waiting.pop()
            for a, b in links:
                for there in {a, b} - reached if here in (a, b) else ():
                    reached.add(there)
                    waiting.append(there)
        assert above[start] == min(reached)
