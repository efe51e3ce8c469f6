import json
import math
import re
from dataclasses import fields

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from retrain.audit import SHOWN_ROWS, audit_rows
from retrain.dataset import Row
from retrain.strategy import TrainingPlan
from store.errors import BadInput

UNHURRIED = settings(deadline=None)  # a busy machine looks ten times as long for near duplicates


def good(rows_per_class=10):
    return [Row(f"{label} number {n}", label) for n in range(rows_per_class) for label in ("billing", "login")]


def finding(audit, kind):
    found = [finding for finding in audit.findings if finding.kind == kind]
    assert len(found) == 1, f"{kind}: {audit.findings}"
    return found[0]


def test_clean_rows_are_usable_and_described():
    audit = audit_rows(good())
    audit.require_usable()
    assert [f.kind for f in audit.findings] == ["class_counts"]
    assert audit.labels == {"billing": 10, "login": 10}
    assert audit.rows == 20


def test_no_rows_stop_a_run():
    with pytest.raises(BadInput, match="no rows at all"):
        audit_rows([]).require_usable()


def test_rows_without_a_label_stop_a_run_and_are_named():
    rows = good()
    rows[2] = Row("a text", "")
    rows[4] = Row("another", "  ")
    audit = audit_rows(rows)
    assert finding(audit, "missing_labels").rows == (3, 5)
    with pytest.raises(BadInput, match=r"2 rows without a label.*\(rows 3, 5\)"):
        audit.require_usable()


def test_rows_without_a_text_are_a_warning():
    audit = audit_rows([*good(), Row(" \n", "billing")])
    assert finding(audit, "missing_texts").severity == "warning"
    assert finding(audit, "missing_texts").rows == (21,)
    assert audit.usable


def test_one_class_only_stops_a_run():
    with pytest.raises(BadInput, match="every row has the label 'x'; a classifier needs at least two"):
        audit_rows([Row("a", "x"), Row("b", "x"), Row("", "y")]).require_usable()
    with pytest.raises(BadInput, match="no row has both"):
        audit_rows([Row("", "x"), Row("", "y")]).require_usable()


def test_copies_and_disputed_labels_are_told_apart():
    audit = audit_rows([*good(), Row("BILLING  number 0", "billing"), Row("Login number 1", "billing")])
    assert finding(audit, "duplicates").rows == (21, 22)
    assert finding(audit, "duplicates").severity == "info"
    conflict = finding(audit, "conflicting_labels")
    assert conflict.rows == (4, 22)
    assert "'login' (row 4), 'billing' (row 22)" in conflict.message
    assert conflict.severity == "warning"


def test_small_classes_are_named_with_their_size():
    audit = audit_rows([*good(), Row("a", "rare"), Row("b", "rare")])
    assert "'rare' (2)" in finding(audit, "few_rows").message
    assert finding(audit, "few_rows").rows == (21, 22)
    assert not [f for f in audit_rows(good(), min_class_rows=10).findings if f.kind == "few_rows"]
    assert finding(audit_rows(good(), min_class_rows=11), "few_rows").count == 20


def test_labels_that_differ_in_case_only_are_pointed_out():
    audit = audit_rows([*good(), *(Row(f"t{n}", "Billing ") for n in range(9))])
    assert "'Billing ' / 'billing'" in finding(audit, "similar_labels").message


def test_a_text_in_two_splits_stops_a_run():
    rows = [*good(), Row("same", "login", split="train"), Row("SAME", "login", split="test")]
    assert finding(audit_rows(rows), "split_overlap").rows == (21, 22)
    assert not audit_rows(rows).usable


def test_a_flagged_row_that_would_measure_stops_a_run():
    audit = audit_rows([*good(), Row("x", "login", origin="flagged", split="test")])
    assert finding(audit, "flagged_measures").rows == (21,)
    assert not audit.usable


def test_against_the_snapshot_before_new_and_lost_classes_are_told():
    previous = [*good(), *(Row(f"old {n}", "fax") for n in range(9))]
    audit = audit_rows([*good(), *(Row(f"new {n}", "app") for n in range(9))], previous=previous)
    assert "'app'" in finding(audit, "new_classes").message
    vanished = finding(audit, "vanished_classes")
    assert "'fax'" in vanished.message
    assert vanished.count == 9
    assert finding(audit, "new_texts").count == 9


def test_only_the_first_rows_are_listed_but_all_are_counted():
    found = finding(audit_rows([*good(), *(Row(f"t{n}", "") for n in range(50))]), "missing_labels")
    assert found.rows == tuple(range(21, 21 + SHOWN_ROWS))
    assert found.count == 50


words = st.sampled_from(["a", "A ", "b", "c", "", " "])
rows_strategy = st.lists(
    st.builds(Row, text=words, label=words, split=st.sampled_from([None, "train", "test"])), max_size=30
)


@UNHURRIED
@given(rows_strategy, st.none() | rows_strategy)
def test_an_audit_of_anything_is_json_with_row_numbers_that_exist(rows, previous):
    audit = audit_rows(rows, previous=previous)
    told = json.loads(json.dumps(audit.as_dict(), allow_nan=False))
    assert told["usable"] == (not any(f["severity"] == "error" for f in told["findings"]))
    for f in told["findings"]:
        assert all(1 <= n <= len(rows) for n in f["rows"])
        assert len(f["rows"]) <= min(SHOWN_ROWS, max(f["count"], 0))
        assert math.isfinite(f["count"])
    if audit.usable:
        assert all(row.label.strip() for row in rows)
        assert len(audit.labels) >= 2


def test_a_class_of_one_row_stops_a_persons_file_and_is_named():
    audit = audit_rows([*good(), Row("a fax", "fax")])
    assert finding(audit, "lone_rows").severity == "error"
    assert "'fax'" in finding(audit, "lone_rows").message
    for fine in (
        audit_rows([*good(), Row("a fax", "fax", origin="audit")]),
        audit_rows([*good(), Row("a fax", "fax")], previous=[Row("old", "fax")]),
    ):
        assert fine.usable
        assert "'fax' (1)" in finding(fine, "few_rows").message


def test_ten_to_one_is_told_with_what_to_do():
    audit = audit_rows([*(Row(f"b {n}", "billing") for n in range(100)), *(Row(f"f {n}", "fax") for n in range(10))])
    assert "'billing' has 10 times as many rows as 'fax'" in finding(audit, "imbalance").message
    advised = re.findall(r"--set (\w+)=", finding(audit, "imbalance").message)
    assert advised == ["focal_gamma", "class_weights", "resample"]
    assert set(advised) <= {field.name for field in fields(TrainingPlan)}, "what is advised can be said"
    assert finding(audit, "imbalance").count == 10
    assert not [f for f in audit_rows(good()).findings if f.kind == "imbalance"]


def test_labels_outside_the_list_stop_a_run_with_the_nearest_one():
    audit = audit_rows([*good(), Row("t 1", "biling"), Row("t 2", "biling")], allowed_labels=["billing", "login"])
    found = finding(audit, "unknown_labels")
    assert found.severity == "error"
    assert "'biling' (did you mean 'billing'?)" in found.message
    assert found.rows == (21, 22)
    assert audit_rows(good(), allowed_labels=["billing", "login", "fax"]).usable


def test_near_copies_are_told_and_so_are_those_that_disagree():
    rows = [
        *good(),
        Row("where is my parcel from last week", "login"),
        Row("where is my parcel from last wek", "login"),
    ]
    assert finding(audit_rows(rows), "near_duplicates").rows == (21, 22)
    rows.append(Row("please where is my parcel from last week", "billing"))
    found = finding(audit_rows(rows), "near_conflicts")
    assert found.rows[0] == 21
    assert 23 in found.rows
    assert found.severity == "warning"


def test_near_copies_in_two_splits_are_a_warning_that_names_them():
    rows = [
        *good(),
        Row("where is my parcel from last week", "login", split="train"),
        Row("WHERE is my parcel from last week?", "login", split="test"),
    ]
    found = finding(audit_rows(rows), "near_split_overlap")
    assert found.severity == "warning"
    assert found.rows == (21, 22)
    assert audit_rows(rows).usable
