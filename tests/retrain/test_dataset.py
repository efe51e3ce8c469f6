import gzip
import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from retrain.dataset import Row, group_key, read_labels, read_rows
from store.errors import BadInput

TEXT = "text,label\n"


def write(path, content):
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def pairs(rows):
    return [(row.text, row.label) for row in rows]


def refusal(path, **columns):
    with pytest.raises(BadInput) as refused:
        read_rows(path, **columns)
    return str(refused.value)


def test_a_csv_row_becomes_seed_data_that_no_split_has_yet(tmp_path):
    path = write(tmp_path / "d.csv", 'id,text,label\n1,"Hello, there",greeting\n\n2,"two\nlines",other\n')
    assert read_rows(path) == [Row("Hello, there", "greeting"), Row("two\nlines", "other")]
    assert read_rows(path)[0].origin == "seed"
    assert read_rows(path)[0].split is None


def test_labels_that_look_like_nothing_or_like_numbers_stay_the_strings_they_are(tmp_path):
    labels = ["NA", "null", "None", "007", "1.0", "nan", "true"]
    path = write(tmp_path / "d.csv", TEXT + "".join(f"t{n},{label}\n" for n, label in enumerate(labels)))
    assert [row.label for row in read_rows(path)] == labels


def test_empty_cells_are_kept_for_the_audit(tmp_path):
    path = write(tmp_path / "d.csv", TEXT + "a,\n,x\nshort\n")
    assert pairs(read_rows(path)) == [("a", ""), ("", "x"), ("short", "")]
    path = write(tmp_path / "d.jsonl", '{"text": "a", "label": null}\n{"text": "b"}\n{"label": "x", "text": NaN}\n')
    assert pairs(read_rows(path)) == [("a", ""), ("b", ""), ("", "x")]


def test_jsonl_numbers_and_line_separators_inside_a_text_survive(tmp_path):
    lines = [{"text": "one\u2028line", "label": 7}, {"text": "b", "label": True}, {"text": "c", "label": "007"}]
    path = write(tmp_path / "d.jsonl", "\r\n".join(json.dumps(line, ensure_ascii=False) for line in lines))
    assert pairs(read_rows(path)) == [("one\u2028line", "7"), ("b", "true"), ("c", "007")]


def test_a_parquet_file_with_dictionary_labels_and_nulls_reads_like_a_csv(tmp_path):
    labels = pa.array(["NA", None, "007"]).dictionary_encode()
    pq.write_table(pa.table({"text": ["a", "b", None], "label": labels, "x": [1, 2, 3]}), tmp_path / "d.parquet")
    assert pairs(read_rows(tmp_path / "d.parquet")) == [("a", "NA"), ("b", ""), ("", "007")]
    numbers = read_rows(tmp_path / "d.parquet", label_column="x")
    assert [row.label for row in numbers] == ["1", "2", "3"]


@pytest.mark.parametrize("suffix", [".csv.gz", ".JSONL.gz"])
def test_packed_files_read_like_the_plain_ones(tmp_path, suffix):
    content = TEXT + "a,x\n" if "csv" in suffix else '{"text": "a", "label": "x"}\n'
    path = write(tmp_path / f"d{suffix}", gzip.compress(content.encode()))
    assert pairs(read_rows(path)) == [("a", "x")]
    write(path, path.read_bytes()[:-9])
    assert "not a whole gzip file" in refusal(path)
    write(path, content)
    assert "not a whole gzip file" in refusal(path)


def test_a_byte_order_mark_is_not_part_of_the_first_column_name(tmp_path):
    assert pairs(read_rows(write(tmp_path / "d.csv", "\ufeff" + TEXT + "a,x\n"))) == [("a", "x")]


def test_other_columns_can_be_named(tmp_path):
    path = write(tmp_path / "d.csv", "body,intent\na,x\n")
    assert pairs(read_rows(path, text_column="body", label_column="intent")) == [("a", "x")]


def test_a_missing_file_is_told_with_its_neighbours(tmp_path):
    write(tmp_path / "tickets.csv", TEXT)
    message = refusal(tmp_path / "ticket.csv")
    assert "there is no file" in message
    assert "did you mean 'tickets.csv'?" in message
    assert "is not a file" in refusal(write_folder(tmp_path / "folder.csv"))
    assert "there is no file" in refusal(tmp_path / "nowhere" / "d.csv")


def write_folder(path):
    path.mkdir()
    return path


def test_an_unknown_suffix_is_told_with_the_known_ones(tmp_path):
    message = refusal(write(tmp_path / "d.xlsx", "x"))
    assert "'.xlsx'" in message
    assert ".parquet" in message


def test_missing_columns_are_told_with_those_that_exist(tmp_path):
    message = refusal(write(tmp_path / "d.csv", "id,Text,labels\n1,a,x\n"))
    assert "no column 'text' and no column 'label'" in message
    assert "'id', 'Text', 'labels'" in message
    assert "did you mean" in message
    assert "'labels'" in message.split("did you mean")[1]
    assert "'Text'" in message.split("did you mean")[1]
    assert "save it with commas" in refusal(write(tmp_path / "d.csv", "text;label\na;x\n"))
    assert "no column 'label'" in refusal(write(tmp_path / "d.jsonl", '{"text": "a"}'))
    pq.write_table(pa.table({"text": ["a"]}), tmp_path / "d.parquet")
    assert "no column 'label'; it has 'text'" in refusal(tmp_path / "d.parquet")
    assert "2 columns named 'text'" in refusal(write(tmp_path / "d.csv", "text,text,label\na,b,c\n"))


@pytest.mark.parametrize("name", ["d.csv", "d.jsonl", "d.parquet", "d.csv.gz"])
def test_an_empty_file_is_refused_as_empty(tmp_path, name):
    assert "is empty" in refusal(write(tmp_path / name, b""))


def test_a_header_without_rows_is_refused(tmp_path):
    assert "has no rows" in refusal(write(tmp_path / "d.csv", TEXT))
    pq.write_table(
        pa.table({"text": pa.array([], pa.string()), "label": pa.array([], pa.string())}), tmp_path / "d.parquet"
    )
    assert "has no rows" in refusal(tmp_path / "d.parquet")


def test_bytes_that_are_not_utf_8_are_told_with_offset_and_line(tmp_path):
    message = refusal(write(tmp_path / "d.csv", TEXT.encode() + "a,x\ncaf\xe9,y\n".encode("latin1")))
    assert "byte 0xe9 at offset 18 (line 3)" in message


def test_a_malformed_json_line_is_told_with_its_number(tmp_path):
    assert "line 3: not JSON" in refusal(write(tmp_path / "d.jsonl", '{"text": "a", "label": "x"}\n\n{"text": \n'))
    assert "line 1: a list, not an object" in refusal(write(tmp_path / "d.jsonl", '[{"text": "a"}]'))
    message = refusal(write(tmp_path / "d.jsonl", '{"text": ["a"], "label": "x"}\n'))
    assert "line 1, 'text' is a list, not a text" in message
    assert "surrogate" in refusal(write(tmp_path / "d.jsonl", '{"text": "\\ud800", "label": "x"}\n'))


def test_broken_csv_lines_are_told_with_their_number(tmp_path):
    message = refusal(write(tmp_path / "d.csv", TEXT + "a,x\nhello, you,x\n"))
    assert "line 3: 3 cells, but the header has 2" in message
    assert "double quote" in refusal(write(tmp_path / "d.csv", TEXT + '"never closed,x\n'))
    assert "save texts that really are that long as JSONL" in refusal(
        write(tmp_path / "d.csv", TEXT + "a" * 200_000 + ",x\n")
    )
    assert "not a Parquet file" in refusal(write(tmp_path / "d.parquet", b"PAR1 but no more"))


@pytest.mark.parametrize("other", ["  HELLO\tworld\n", "hello world", "ｈｅｌｌｏ　world", "Hello World"])
def test_texts_that_a_reader_takes_for_the_same_share_a_group(other):
    assert Row(other, "x").group == Row("hello world", "y").group


def test_folding_is_not_limited_to_ascii():
    assert group_key("Straße CAFÉ") == group_key("STRASSE cafe\u0301")
    assert group_key("hello world") != group_key("hello worlds")


@given(st.text())
def test_a_group_key_is_its_own_group_key(text):
    assert group_key(group_key(text)) == group_key(text)


@given(st.lists(st.tuples(st.text(st.characters(codec="utf-8")), st.text(st.characters(codec="utf-8"))), min_size=1))
def test_what_a_jsonl_file_says_is_what_is_read(tmp_path_factory, said):
    path = tmp_path_factory.mktemp("jsonl") / "d.jsonl"
    path.write_text("".join(json.dumps({"text": t, "label": x}) + "\n" for t, x in said))
    assert pairs(read_rows(path)) == said


def test_group_time_and_split_are_read_where_their_columns_are_named(tmp_path):
    path = write(
        tmp_path / "d.csv",
        "text,label,who,when,part\n"
        "a,x,ann,2026-11-02,train\n"
        "b,y,,2026-11-02T08:30:00+01:00,Dev\n"
        "c,x, bob ,2026-11-02 08:30:00.5,\n",
    )
    rows = read_rows(path, group_column="who", time_column="when", split_column="part")
    assert [row.entity for row in rows] == ["ann", None, "bob"]
    assert [row.at for row in rows] == [
        "2026-11-02T00:00:00.000000+00:00",
        "2026-11-02T07:30:00.000000+00:00",
        "2026-11-02T08:30:00.500000+00:00",
    ]
    assert [row.split for row in rows] == ["train", "validation", None]
    assert read_rows(path) == [Row("a", "x"), Row("b", "y"), Row("c", "x")]


def test_a_parquet_file_may_hold_real_times(tmp_path):
    table = pa.table(
        {
            "text": ["a", "b"],
            "label": ["x", "y"],
            "ns": pa.array([1, 1_700_000_000_000_000_001], pa.timestamp("ns", "Europe/Paris")),
            "day": pa.array([20_000, 20_001], pa.date32()),
        }
    )
    pq.write_table(table, tmp_path / "d.parquet")
    times = [row.at for row in read_rows(tmp_path / "d.parquet", time_column="ns")]
    assert times == ["1970-01-01T00:00:00.000000+00:00", "2023-11-14T22:13:20.000000+00:00"]
    days = [row.at for row in read_rows(tmp_path / "d.parquet", time_column="day")]
    assert days == ["2024-10-04T00:00:00.000000+00:00", "2024-10-05T00:00:00.000000+00:00"]


@pytest.mark.parametrize(
    ("cells", "complaint"),
    [
        ("ann,yesterday,train", "row 2: 'when' is 'yesterday'; it must be a time in ISO 8601"),
        ("ann,,train", "row 2: 'when' is ''; it must be a time"),
        ("ann,0001-01-01T00:00:00+14:00,train", "must be a time in ISO 8601"),
        (
            "ann,2026-11-02,holdout",
            "row 2: 'part' is 'holdout'; it must be train, validation (or val, valid, dev) or test",
        ),
    ],
)
def test_a_cell_that_is_no_time_or_split_is_told_with_its_row(tmp_path, cells, complaint):
    path = write(tmp_path / "d.csv", f"text,label,who,when,part\na,x,ann,2026-11-02,train\nb,y,{cells}\n")
    assert complaint in refusal(path, group_column="who", time_column="when", split_column="part")


def test_a_named_column_that_is_not_there_is_told(tmp_path):
    path = write(tmp_path / "d.csv", "text,label,customer\na,x,ann\n")
    assert "no column 'custumer'" in refusal(path, group_column="custumer")
    assert "did you mean 'customer'?" in refusal(path, group_column="custumer")


def test_a_list_of_labels_is_one_a_line(tmp_path):
    assert read_labels(write(tmp_path / "labels.txt", "refund\n\n billing \nrefund\n")) == ["refund", "billing"]
    with pytest.raises(BadInput, match="needs the labels that rows may have"):
        read_labels(write(tmp_path / "empty.txt", "\n"))
