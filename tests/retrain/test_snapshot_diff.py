from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from retrain.dataset import Row
from retrain.snapshot_diff import diff_rows

BEFORE = [
    Row("where is my parcel", "shipping", split="train"),
    Row("money back", "refund", split="test"),
    Row("fax me", "fax", split="train"),
    Row("asked", "refund", "audit", "test", 0.1, "p1", 3),
]


def test_every_kind_of_change_is_told():
    after = [
        replace(BEFORE[0], text="WHERE is my  parcel", split="validation"),
        replace(BEFORE[1], label="billing"),
        replace(BEFORE[3], text="the text of a prediction may be mended"),
        Row("brand new", "billing", split="train"),
    ]
    found = diff_rows(BEFORE, after)
    assert [row.text for row in found.added] == ["brand new"]
    assert [row.text for row in found.removed] == ["fax me"]
    assert [(c.before.label, c.after.label) for c in found.relabelled] == [("refund", "billing")]
    assert [(c.before.split, c.after.split) for c in found.moved] == [("train", "validation")]
    assert (found.labels_added, found.labels_gone) == (["billing"], ["fax"])
    assert found.shares["billing"] == (0.0, 0.5)
    assert next(iter(found.shares)) == "billing"
    assert found.as_dict()["relabelled"] == [{"text": "money back", "label": ["refund", "billing"], "split": "test"}]


def test_a_file_without_splits_moves_nothing():
    assert diff_rows(BEFORE, [replace(row, split=None) for row in BEFORE]).same


def test_of_copies_only_what_differs_is_told():
    before = [Row("a", "x"), Row("a", "x"), Row("A", "y")]
    found = diff_rows(before, [Row("a", "y"), Row("a", "x"), Row("a", "z"), Row("a", "z")])
    assert [(c.before.label, c.after.label) for c in found.relabelled] == [("x", "z")]
    assert [row.label for row in found.added] == ["z"]
    assert found.removed == ()


rows = st.lists(
    st.builds(Row, text=st.sampled_from("abc"), label=st.sampled_from("xy"), split=st.sampled_from(["train", "test"])),
    max_size=12,
)


@given(rows, rows)
def test_a_diff_accounts_for_every_row_and_turns_round(before, after):
    there, back = diff_rows(before, after), diff_rows(after, before)
    assert len(before) - len(there.removed) == len(after) - len(there.added)
    assert (len(there.added), len(there.relabelled)) == (len(back.removed), len(back.relabelled))
    assert there.same == (sorted(map(str, before)) == sorted(map(str, after)))
    assert diff_rows(before, before).same
