import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.oip.tensors import decode_strings, encode
from store.errors import BadInput, Malformed

TEXTS = st.lists(st.text(st.characters(exclude_categories=["Cs"])), max_size=20)


@given(texts=TEXTS)
def test_what_is_encoded_is_decoded_again(texts):
    assert decode_strings(encode(texts), count=len(texts), where="inputs/text") == texts


def test_a_million_empty_texts_are_refused_by_their_number():
    with pytest.raises(BadInput, match="1000000 elements, no request may have more than 65536"):
        decode_strings(bytes(4_000_000), count=1_000_000, where="inputs/text")


@given(texts=TEXTS, cut=st.integers(0, 2**16), count=st.integers(0, 25))
def test_any_cut_or_wrong_count_is_refused_and_never_more(texts, cut, count):
    raw = encode(texts)
    part = raw[: cut % (len(raw) + 1)]
    if (count, part) == (len(texts), raw):
        assert decode_strings(part, count=count, where="inputs/text") == texts
        return
    try:
        decoded = decode_strings(part, count=count, where="inputs/text")
    except Malformed:
        return
    assert decoded == texts[:count], "a cut may only end between two elements"
    assert part == encode(decoded)


@given(raw=st.binary(max_size=200), count=st.integers(0, 50))
def test_noise_is_refused_or_means_what_it_says(raw, count):
    try:
        decoded = decode_strings(raw, count=count, where="inputs/text")
    except Malformed:
        return
    assert encode(decoded) == raw


@pytest.mark.parametrize(
    ("raw", "count", "words"),
    [
        (b"\x01\x00", 1, ["element 0", "4 bytes", "2 of 2 bytes are left", "asks for 1"]),
        (b"", 2, ["element 0", "0 of 0"]),
        (b"\x05\x00\x00\x00abc", 1, ["element 0 says it has 5 bytes", "3 of 7 are left"]),
        (b"\xff\xff\xff\xff", 1, ["says it has 4294967295 bytes", "0 of 4"]),
        (b"\x01\x00\x00\x00a\x02\x00\x00\x00b\xff", 2, ["element 1 is not UTF-8", "byte 1"]),
        (b"\x01\x00\x00\x00abc", 1, ["end at byte 5", "7 bytes came", "2 belong to none"]),
    ],
)
def test_the_error_names_the_element_and_the_sizes(raw, count, words):
    with pytest.raises(Malformed) as refused:
        decode_strings(raw, count=count, where="inputs/text")
    for word in ["inputs/text", *words]:
        assert word in str(refused.value)


def test_floats_are_little_endian_and_row_major():
    assert encode(np.array([[1, 2], [3, 4]], np.float32)) == b"".join(
        np.float32(value).astype("<f4").tobytes() for value in (1, 2, 3, 4)
    )
    assert encode(np.array([[1, 3], [2, 4]], np.float32).T) == encode(np.array([[1, 2], [3, 4]], np.float32))
