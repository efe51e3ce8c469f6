"""Those parts of an audit that need what a base makes of the rows: label errors, outliers, lengths."""

from dataclasses import replace

import numpy as np
import pytest
from numpy.testing import assert_allclose
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis

from engine.engine import Engine
from retrain.audit import BaseView, audit_rows, view_rows
from retrain.audit.label_errors import discriminant_scores
from retrain.audit.outliers import NEIGHBOURS, neighbour_distances, outliers
from retrain.dataset import Row
from retrain.features import FeatureCache

CLASSES, A_CLASS, HIDDEN = 6, 60, 24


def world(seed=0):
    """Rows of six classes whose features lie around six points, and the features."""
    rng = np.random.default_rng(seed)
    centres = rng.normal(size=(CLASSES, HIDDEN)) * 2
    labels = np.repeat(np.arange(CLASSES), A_CLASS)
    features = (centres[labels] + rng.normal(size=(len(labels), HIDDEN))).astype(np.float32)
    letters = "abcdefghijklmnopqrstuvwxyz"
    texts = ["".join(letters[i] for i in rng.integers(0, 26, 30)) for _ in labels]
    return [Row(text, f"class {label}") for text, label in zip(texts, labels, strict=True)], features


def view(features, **changes):
    lengths = np.full(len(features), 10, np.int64)
    return BaseView(**({"features": features, "length_tokens": lengths, "max_tokens": 64} | changes))


def kinds(audit):
    return {finding.kind: finding for finding in audit.findings}


def test_scores_are_those_of_scikit_learns_discriminant_analysis():
    rows, features = world()
    labels = np.array([int(row.label[-1]) for row in rows])
    ours = discriminant_scores(features.astype(float), labels, features.astype(float), classes=CLASSES, shrinkage=0.0)
    theirs = LinearDiscriminantAnalysis(solver="lsqr").fit(features.astype(float), labels).predict_log_proba(features)
    assert_allclose(ours - ours[:, :1], theirs - theirs[:, :1], rtol=1e-6, atol=1e-6)


def test_wrong_labels_come_first_among_the_suspects():
    rows, features = world()
    rng = np.random.default_rng(1)
    wrong = set(rng.permutation(len(rows))[:36].tolist())
    noisy = [Row(r.text, f"class {(int(r.label[-1]) + 1) % CLASSES}") if n in wrong else r for n, r in enumerate(rows)]
    audit = audit_rows(noisy, view=view(features))
    first = {suspect.row - 1 for suspect in audit.suspects[: int(0.15 * len(rows))]}
    assert len(first & wrong) >= 34
    found = kinds(audit)["label_errors"]
    assert 25 <= found.count <= 40
    assert all(noisy[s.row - 1].label == s.label != s.likely == rows[s.row - 1].label for s in audit.suspects[:20])


def test_clean_labels_are_left_alone_and_copies_do_not_speak_for_each_other():
    rows, features = world()
    assert "label_errors" not in kinds(audit_rows(rows, view=view(features)))
    copies = [Row(rows[0].text + "!" * signs, "class 3") for signs in range(40)]
    doubled = [*rows[1:], *copies]
    again = np.concatenate((features[1:], np.repeat(features[:1], len(copies), axis=0)))
    audit = audit_rows(doubled, view=view(again))
    assert {s.row for s in audit.suspects[: len(copies)]} == set(range(len(rows), len(rows) + len(copies)))


def test_a_class_whose_rows_come_in_threads_keeps_teachers_in_every_fold():
    rows, features = world()
    threads = [replace(row, entity=f"{row.label}, thread {n % 12}") for n, row in enumerate(rows)]
    audit = audit_rows(threads, view=view(features))
    assert min(suspect.confidence for suspect in audit.suspects) > 0.01, "well apart, so no label looks impossible"


def test_without_a_base_the_audit_says_what_it_left_out():
    rows, features = world()
    assert "label errors" in audit_rows(rows).as_dict()["skipped"][0]
    assert audit_rows(rows, view=view(features)).skipped == ()


def test_rows_far_from_everything_are_named_the_farthest_first():
    rows, features = world()
    features[7] = -3 * features.mean(axis=0)
    features[100] = np.where(np.arange(HIDDEN) % 2, 9, -9)
    assert set(kinds(audit_rows(rows, view=view(features)))["outliers"].rows[:2]) == {8, 101}


def test_a_rare_class_is_no_outlier_in_a_file_larger_than_the_sample():
    rng = np.random.default_rng(4)
    common, rare = rng.normal(size=(2, HIDDEN)) * 3
    features = (common + rng.normal(size=(30_000, HIDDEN))).astype(np.float32)
    rows = {n: Row(f"text {n}", "common") for n in range(1, len(features) + 1)}
    for place in range(500, 30_000, 1_000):
        features[place] = rare + rng.normal(size=HIDDEN)
        rows[place + 1] = Row(f"text {place}", "rare")
    features[[7, 20_000]] = -3 * common, np.where(np.arange(HIDDEN) % 2, 9, -9)
    (found,) = outliers(rows, view(features))
    assert {8, 20_001} <= set(found.rows)
    assert [n for n in found.rows if rows[n].label == "rare"] == []


def test_a_text_that_is_said_once_is_no_outlier_where_most_are_repeated():
    rows, features = world()
    repeated = rows + rows[:40] * 30
    again = np.concatenate((features, np.tile(features[:40], (30, 1))))
    assert "outliers" not in kinds(audit_rows(repeated, view=view(again)))
    odd = [*repeated, Row("zzz", "class 1"), Row(" ZZZ", "class 1")]
    again = np.concatenate((again, np.tile(-3 * features.mean(axis=0), (2, 1))))
    assert kinds(audit_rows(odd, view=view(again)))["outliers"].rows == (len(odd) - 1, len(odd))


def test_distances_are_those_of_all_pairs():
    _, features = world()
    unit = features / np.linalg.norm(features, axis=1, keepdims=True)
    cosine = unit @ unit.T
    np.fill_diagonal(cosine, -1)
    brute = 1 - np.sort(cosine, axis=1)[:, -NEIGHBOURS:].mean(axis=1)
    found = neighbour_distances(features, features, skip_same=np.arange(len(features)))
    assert_allclose(found, brute, atol=1e-5)


def test_rows_unlike_what_the_base_knows_are_told():
    rows, features = world()
    same = audit_rows(rows, view=view(features, known=world()[1]))
    assert "far_from_base" not in kinds(same)
    other = audit_rows(rows, view=view(features, known=-features[:A_CLASS]))
    assert kinds(other)["far_from_base"].severity == "warning"


def test_texts_beyond_the_limit_are_told_with_their_share():
    rows, features = world()
    lengths = np.full(len(rows), 64, np.int64)
    lengths[[3, 5, 9, 11]] = 65, 900, 70, 80
    found = kinds(audit_rows(rows, view=view(features, length_tokens=lengths)))["cut_texts"]
    assert found.rows == (4, 6, 10, 12)
    assert "the longest with 900 (row 6)" in found.message
    assert found.severity == "warning"


@pytest.fixture(scope="module")
def engine(tiny):
    return Engine(tiny.bundle, slots=2, lanes=1)


def test_a_base_looks_at_rows_with_the_engine_that_serves(engine, tmp_path):
    rows = [Row("where is my parcel", "a"), Row("order " * 100, "b")]
    seen = view_rows(rows, engine, FeatureCache(tmp_path, engine), known=["hello", "Hello "])
    assert_allclose(seen.features, engine.embed([row.text for row in rows]), atol=1e-5)
    assert seen.length_tokens.tolist() == [6, 102]
    assert seen.max_tokens == engine.spec.max_tokens
    assert seen.known.shape == (1, engine.spec.hidden)
    again = view_rows(rows, engine, FeatureCache(tmp_path, engine), known=[rows[0].text])
    assert_allclose(again.known, seen.features[:1])
    assert len(list(tmp_path.iterdir())) == 2, "what lies among the rows is not computed twice"
