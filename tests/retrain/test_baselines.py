"""What a version is compared with: each answers the test rows and has seen none of their labels."""

from collections.abc import Sequence

import numpy as np
import pytest

from cli.demo.tickets import World, tickets
from retrain.baselines import Taught, answer_as_baselines
from retrain.dataset import Row
from retrain.heuristic import by_keyword, by_neighbour, most_frequent

FRUIT = ["red apple", "green apple", "long banana", "yellow banana", "sour lemon"]
KINDS = ["apple", "apple", "banana", "banana", "lemon"]


def taught(texts: Sequence[str], labels: Sequence[str], features: np.ndarray) -> Taught:
    rows = tuple(Row(text, label) for text, label in zip(texts, labels, strict=True))
    return Taught(rows, features.astype(np.float32))


def features_of(labels: Sequence[str], *, noise: float, seed: int) -> np.ndarray:
    """One direction for each label, as a base might have it."""
    names = sorted(set(KINDS) | set(labels))
    generator = np.random.default_rng(seed)
    ones = np.eye(len(names))[[names.index(label) for label in labels]]
    return ones + generator.normal(0, noise, ones.shape)


def test_the_most_telling_word_decides() -> None:
    asked = ["a big Banana", "red banana", "apple lemon", "what is this?"]
    assert by_keyword(asked, train=FRUIT, labels=KINDS) == ["banana", "banana", "apple", "apple"]


def test_the_nearest_text_decides_by_its_direction_and_not_its_length() -> None:
    train = np.array([[1, 0], [0, 1]], np.float32)
    asked = np.array([[9, 1], [0.01, 0.02], [0, 0]], np.float32)
    assert by_neighbour(asked, train=train, labels=["a", "b"]) == ["a", "b", "a"]


def test_the_most_frequent_label_is_the_first_of_those_that_are() -> None:
    assert most_frequent(["b", "a", "b", "a", "c"]) == "a"


@pytest.mark.parametrize(("noise", "chosen"), [(0.05, "most similar training text"), (50.0, "most telling word")])
def test_the_heuristic_that_does_better_on_the_validation_rows_is_taken(noise, chosen) -> None:
    train = taught(FRUIT * 4, KINDS * 4, features_of(KINDS * 4, noise=noise, seed=1))
    validation = taught(
        ["an apple", "a banana", "blue thing"],
        ["apple", "banana", "lemon"],
        features_of(["apple", "banana", "lemon"], noise=noise, seed=2),
    )
    test = taught(["ripe banana"], ["banana"], features_of(["banana"], noise=noise, seed=3))
    heuristic = answer_as_baselines(train, validation, test)[1]
    assert heuristic.name == "heuristic"
    assert chosen in heuristic.about.split("(")[0]
    assert heuristic.predicted == ("banana",)


def test_all_answer_every_test_row_and_those_with_a_confidence_say_it() -> None:
    some = tickets(World.BEFORE, 600, seed=4)
    texts, labels = [one.text for one in some], [one.label for one in some]
    features = features_of(labels, noise=0.4, seed=1)
    parts = [taught(texts[a:b], labels[a:b], features[a:b]) for a, b in ((0, 400), (400, 500), (500, 600))]
    heard: list[float] = []
    found = {one.name: one for one in answer_as_baselines(*parts, progress=heard.append)}
    assert list(found) == ["majority", "heuristic", "tfidf", "frozen"]
    assert heard == [0.25, 0.5, 0.75, 1.0]
    right = {
        name: sum(a == row.label for a, row in zip(one.predicted, parts[2].rows, strict=True)) / 100
        for name, one in found.items()
    }
    assert right["majority"] < 0.4 < right["tfidf"]
    assert right["frozen"] > 0.6
    for name in ("tfidf", "frozen"):
        one = found[name]
        assert one.probabilities.shape == (100, len(one.labels))
        assert np.allclose(one.probabilities.sum(axis=1), 1, atol=1e-5)


def test_the_same_rows_give_the_same_answers() -> None:
    labels = KINDS * 20
    parts = [taught(FRUIT * 20, labels, features_of(labels, noise=0.5, seed=s)) for s in (1, 2, 3)]
    first, again = (answer_as_baselines(*parts) for _ in range(2))
    assert [one.predicted for one in first] == [one.predicted for one in again]


def test_one_class_leaves_nothing_to_tell_apart_and_odd_texts_are_no_obstacle() -> None:
    one = taught(["👍", "!?", "的"], ["yes"] * 3, np.zeros((3, 2)))
    nothing = taught([], [], np.zeros((0, 2)))
    assert [b.name for b in answer_as_baselines(one, nothing, one)] == ["majority", "heuristic"]
    two = taught(["👍", "!?", "的"], ["yes", "no", "no"], np.array([[1, 0], [0, 1], [0, 2]]))
    found = {b.name: b.predicted for b in answer_as_baselines(two, nothing, two)}
    assert found["heuristic"] == found["frozen"] == ("yes", "no", "no")


def test_of_many_rows_baselines_learn_from_some(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("retrain.baselines.MOST_TRAINING_ROWS", 10)
    labels = KINDS * 20
    train = taught(FRUIT * 20, labels, features_of(labels, noise=0.1, seed=1))
    asked = taught(FRUIT, KINDS, features_of(KINDS, noise=0.1, seed=2))
    found = answer_as_baselines(train, taught([], [], np.zeros((0, 3))), asked)
    assert len(found) == 4
    assert set(found[1].predicted) <= set(KINDS)
