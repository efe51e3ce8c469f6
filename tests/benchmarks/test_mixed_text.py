import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks.mixed_text import grouped, minilm_tokenizer, mixed_lengths, mixed_texts, whole_words


@settings(deadline=None, max_examples=30)
@given(n=st.integers(1, 200), seed=st.integers(0, 2**32))
def test_a_text_has_exactly_the_length_that_was_drawn(n, seed):
    tokenizer = minilm_tokenizer()
    texts = mixed_texts(tokenizer, n, seed=seed)
    tokens = [len(encoding.ids) for encoding in tokenizer.encode_batch(texts)]
    assert tokens == mixed_lengths(n, seed=seed).tolist()
    assert min(tokens) >= 4
    assert max(tokens) <= 128


def test_lengths_are_lognormal_with_median_18_and_mean_23():
    lengths = mixed_lengths(100_000, seed=1)
    assert np.median(lengths) == 18
    assert 22.5 < lengths.mean() < 23.3
    assert 0.68 < np.log(lengths).std() < 0.71
    assert (lengths.min(), lengths.max()) == (4, 128)


def test_the_same_seed_gives_the_same_texts_and_another_one_others():
    tokenizer = minilm_tokenizer()
    assert mixed_texts(tokenizer, 50, seed=1) == mixed_texts(tokenizer, 50, seed=1)
    assert mixed_texts(tokenizer, 50, seed=1) != mixed_texts(tokenizer, 50, seed=2)


def test_words_are_ordinary_ones_and_single_tokens():
    words = whole_words(minilm_tokenizer())
    assert len(words) > 5_000
    assert {"the", "and", "water", "letter"} <= set(words)
    assert all(len(encoding.ids) == 3 for encoding in minilm_tokenizer().encode_batch(words))


def test_texts_are_grouped_into_requests_of_one_size():
    assert grouped(["a", "b", "c", "d", "e"], 2) == [["a", "b"], ["c", "d"]]
