import pytest

from retrain.audit import audit_rows
from retrain.dataset import Row
from retrain.split import split_rows
from store.errors import BadInput

WORDS = [
    *("parcel", "invoice", "voucher", "router", "account", "contract"),
    *("delivery", "refund", "password", "charger", "order", "signal"),
]


def rows(count=120, **fields):
    return [
        Row(
            f"{WORDS[n % 12]} {WORDS[n // 12 % 12]} number {n}",
            ("billing", "login")[n % 2],
            **fields,
        )
        for n in range(count)
    ]


def spread(each, *, entities=None, times=None):
    return [
        Row(
            row.text,
            row.label,
            entity=None if entities is None else f"customer {n % entities}",
            at=None if times is None else f"2026-01-{times[n % len(times)]:02}T00:00:00.000000+00:00",
        )
        for n, row in enumerate(each)
    ]


def placed(each, split_of):
    return [Row(r.text, r.label, split=split_of(n), entity=r.entity, at=r.at) for n, r in enumerate(each)]


def kinds(audit):
    return {finding.kind: finding for finding in audit.findings}


def test_a_customer_in_two_splits_is_refused_where_a_person_chose_them():
    torn = placed(spread(rows(), entities=30), lambda n: "test" if n < 20 else "train")
    found = kinds(audit_rows(torn, own_split=True))["group_leakage"]
    assert found.severity == "error"
    assert "20 groups" in found.message
    assert "'customer 0'" in found.message
    with pytest.raises(BadInput, match="put all rows of a group into one split"):
        audit_rows(torn, own_split=True).require_usable()
    assert kinds(audit_rows(torn))["group_leakage"].severity == "warning"


def test_training_rows_younger_than_test_rows_are_refused_where_a_person_chose_them():
    days = list(range(1, 25))
    leaking = placed(spread(rows(), times=days), lambda n: "test" if n < 20 else "train")
    found = kinds(audit_rows(leaking, own_split=True))["time_leakage"]
    assert found.severity == "error"
    assert "2026-01-01" in found.message
    right = placed(spread(rows(), times=days), lambda n: "test" if days[n % 24] > 20 else "train")
    assert "time_leakage" not in kinds(audit_rows(right, own_split=True))


def test_our_own_split_passes_its_audit():
    each = spread(rows(), entities=40, times=list(range(1, 28)))
    split = split_rows(each, seed=0)
    found = kinds(audit_rows(split, own_split=True))
    assert not {"group_leakage", "time_leakage", "near_split_overlap", "split_overlap"} & set(found)


def test_classes_that_are_only_measured_are_named():
    each = placed(rows(), lambda n: "test" if n % 2 else "train")
    found = kinds(audit_rows(each, own_split=True))["untaught_classes"]
    assert "'login'" in found.message
    assert found.count == 60


def test_groups_that_tell_the_label_are_pointed_out():
    follow = spread(rows(), entities=30)
    assert kinds(audit_rows(follow))["labels_follow_groups"].count == 120
    mixed = [Row(r.text, ("billing", "login")[n // 30 % 2], entity=r.entity) for n, r in enumerate(follow)]
    assert "labels_follow_groups" not in kinds(audit_rows(mixed))


def test_a_class_of_one_group_alone_is_named():
    each = [*spread(rows(), entities=30), *(Row(f"{word} fax", "fax", entity="customer 7") for word in WORDS)]
    assert "'fax'" in kinds(audit_rows(each))["labels_of_one_group"].message
