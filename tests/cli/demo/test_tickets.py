import os
import subprocess
import sys
from collections import Counter
from statistics import mean, median

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline, make_pipeline

from cli.demo import phrases
from cli.demo.tickets import LABELS, MAX_WORDS, MIN_WORDS, NEW_LABELS, Shares, Ticket, World, tickets


def word_counts(made: list[Ticket]) -> list[int]:
    return [len(ticket.text.split()) for ticket in made]


def bag_of_words(train: list[Ticket]) -> Pipeline:
    model = make_pipeline(TfidfVectorizer(ngram_range=(1, 2)), LogisticRegression(C=5, max_iter=500))
    return model.fit([ticket.text for ticket in train], [ticket.label for ticket in train])


def accuracy(model: Pipeline, test: list[Ticket]) -> float:
    return float(model.score([ticket.text for ticket in test], [ticket.label for ticket in test]))


@pytest.fixture(scope="module")
def many() -> dict[World, list[Ticket]]:
    return {world: tickets(world, 6_000, seed=5) for world in World}


@pytest.mark.parametrize("world", World)
def test_no_message_comes_twice(many, world):
    repeated = [text for text, times in Counter(t.text for t in many[world]).items() if times > 1]
    assert repeated == []


@pytest.mark.parametrize("world", World)
def test_what_is_excluded_does_not_come_back(world):
    first = tickets(world, 800, seed=3)
    again = tickets(world, 800, seed=3, exclude=[ticket.text for ticket in first])
    assert len({ticket.text for ticket in first + again}) == 1_600


@pytest.mark.parametrize("world", World)
def test_messages_are_short_with_a_long_tail(many, world):
    words = word_counts(many[world])
    assert min(words) >= MIN_WORDS
    assert max(words) <= MAX_WORDS
    assert 17 <= mean(words) <= 23
    assert median(words) < mean(words)
    assert sum(count > 45 for count in words) > 0.02 * len(words)
    assert sum(count < 10 for count in words) > 0.08 * len(words)


def test_every_message_is_settled_down_to_the_last_slot(many):
    unsettled = [t.text for made in many.values() for t in made if set(t.text) & set("{}[]|")]
    assert unsettled == []


def test_messages_do_not_betray_themselves_by_blank_ends_or_double_spaces(many):
    untidy = [t.text for made in many.values() for t in made if t.text != " ".join(t.text.split())]
    assert untidy == []


@settings(max_examples=25, deadline=None)
@given(world=st.sampled_from(World), seed=st.integers(0, 2**63), count=st.integers(0, 60))
def test_the_same_seed_makes_the_same_list_and_a_longer_one_begins_with_it(world, seed, count):
    made = tickets(world, count, seed=seed)
    assert len(made) == count
    assert made == tickets(world, count, seed=seed)
    assert tickets(world, count + 20, seed=seed)[:count] == made


def test_other_seeds_and_worlds_make_other_lists():
    texts = [{ticket.text for ticket in tickets(world, 300, seed=seed)} for world in World for seed in (0, 1)]
    shared = max(len(a & b) for i, a in enumerate(texts) for b in texts[:i])
    assert shared <= 15, f"{shared} of 300 messages are the same under another seed or world"


def test_another_process_with_another_hash_seed_makes_the_same_list():
    program = (
        "from cli.demo.tickets import World, tickets\n"
        "print([(t.text, t.label) for world in World for t in tickets(world, 200, seed=11)])"
    )
    printed = {
        subprocess.run(
            [sys.executable, "-c", program],
            env={**os.environ, "PYTHONHASHSEED": hash_seed, "PYTHONPATH": os.pathsep.join(sys.path)},
            capture_output=True,
            text=True,
            check=True,
        ).stdout.strip()
        for hash_seed in ("1", "2")
    }
    assert printed == {str([(t.text, t.label) for world in World for t in tickets(world, 200, seed=11)])}


def test_the_world_before_has_all_old_labels_in_like_parts_and_no_new_one(many):
    counts = Counter(ticket.label for ticket in many[World.BEFORE])
    assert len(LABELS) >= 12
    assert tuple(sorted(LABELS)) == LABELS
    assert set(counts) == set(LABELS)
    assert max(counts.values()) < 2.5 * min(counts.values())


def test_the_world_after_brings_two_new_labels_at_the_share_asked_for(many):
    made = many[World.AFTER]
    counts = Counter(ticket.label for ticket in made)
    assert set(counts) == {*LABELS, *NEW_LABELS}
    for label in NEW_LABELS:  # 3 standard errors of a share of 0.15 in 6,000
        assert abs(counts[label] / len(made) - 0.15) < 3 * (0.15 * 0.85 / len(made)) ** 0.5


def test_without_new_words_and_matters_the_world_after_speaks_like_the_one_before():
    made = tickets(World.AFTER, 1_000, seed=2, shares=Shares(new_words=0, new_matters=0))
    jargon = [t.text for t in made if any(word in t.text.lower() for word in ("quibbo", "hutch", "pledge"))]
    assert jargon == []
    assert {ticket.label for ticket in made} == set(LABELS)


def test_new_matters_alone_bring_only_the_new_labels():
    made = tickets(World.AFTER, 200, seed=2, shares=Shares(new_words=0, new_matters=1))
    assert {ticket.label for ticket in made} == set(NEW_LABELS)


@pytest.mark.parametrize(("new_words", "new_matters"), [(-0.1, 0.3), (0.3, -0.1), (0.8, 0.3)])
def test_shares_that_are_none_are_refused(new_words, new_matters):
    with pytest.raises(ValueError, match="sum to at most 1"):
        Shares(new_words=new_words, new_matters=new_matters)


def test_a_negative_count_is_refused():
    with pytest.raises(ValueError, match="cannot make -1 tickets"):
        tickets(World.BEFORE, -1, seed=0)


def test_every_label_has_many_phrases_of_its_own():
    by_label = {
        label: [line.strip() for line in block.strip().splitlines()]
        for label, block in {**phrases.MATTERS, **phrases.NEW_MATTERS}.items()
    }
    assert {label: len(said) for label, said in by_label.items() if len(said) < 25} == {}
    owners = Counter(phrase for said in by_label.values() for phrase in set(said))
    assert [phrase for phrase, labels in owners.items() if labels > 1] == []
    assert set(phrases.ASIDES) == set(phrases.NEW_WORDS) == set(LABELS)
    assert tuple(sorted(phrases.NEW_MATTERS)) == NEW_LABELS


@pytest.mark.parametrize("seed", [0, 1])
def test_words_alone_do_well_before_badly_after_and_learn_the_new_from_500_labels(seed):
    before = tickets(World.BEFORE, 3_000, seed=seed)
    after = tickets(World.AFTER, 1_500, seed=seed)
    train, test, lesson, exam = before[:2_000], before[2_000:], after[:500], after[500:]
    old, new = bag_of_words(train), bag_of_words(train + lesson)
    # A thousand messages measure an accuracy to about 0.01 (one standard error); the bounds are wider than 3 of them.
    assert 0.75 <= accuracy(old, test) <= 0.93
    assert 0.35 <= accuracy(old, exam) <= 0.60
    assert accuracy(new, exam) >= accuracy(old, exam) + 0.25
    assert accuracy(new, test) >= accuracy(old, test) - 0.03
