import pytest

from cli.load.texts import TEXTS, read_texts
from store.errors import BadInput


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.txt", "one\n\ntwo, really\n"),
        ("a.csv", 'label,text\nx,one\ny,""\nz,"two, really"\n'),
        ("a.jsonl", '{"text": "one"}\n\n{"text": "two, really", "label": "x"}\n'),
    ],
)
def test_texts_are_read_from_every_format(tmp_path, name, content):
    (tmp_path / name).write_text(content)
    assert read_texts(tmp_path / name) == ["one", "two, really"]


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("a.txt", b"\n \n", "holds no text"),
        ("a.csv", b"body\nx\n", "text column"),
        ("a.jsonl", b'{"body": "x"}', "text column"),
        ("a.jsonl", b"{", "no valid JSONL"),
        ("a.txt", b"\xff\xfe", "not UTF-8"),
        ("a.xlsx", b"", "suffix"),
    ],
)
def test_a_file_that_cannot_be_used_says_why(tmp_path, name, content, said):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(BadInput, match=said):
        read_texts(tmp_path / name)


def test_our_own_texts_are_of_mixed_lengths():
    words = sorted(len(text.split()) for text in TEXTS)
    assert words[0] <= 3
    assert words[-1] >= 70


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.txt", "one\u2028still one\ntwo"),
        ("a.csv", "text\none\u2028still one\ntwo\n"),
        ("a.jsonl", '{"text": "one\u2028still one"}\n{"text": "two"}\n'),
    ],
)
def test_a_line_ends_where_the_format_says(tmp_path, name, content):
    (tmp_path / name).write_text(content, "utf-8")
    assert read_texts(tmp_path / name) == ["one\u2028still one", "two"]
