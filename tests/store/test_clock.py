from datetime import timedelta

import pytest

from store.clock import span_in_words


@pytest.mark.parametrize(
    ("span", "words"),
    [
        (timedelta(days=100, hours=3), "100 days"),
        (timedelta(days=4, hours=4), "4.2 days"),
        (timedelta(days=1), "1 day"),
        (timedelta(hours=23, minutes=59), "24 hours"),
        (timedelta(hours=1), "1 hour"),
        (timedelta(minutes=25), "25 minutes"),
        (timedelta(seconds=59), "59 seconds"),
        (timedelta(seconds=1), "1 second"),
        (timedelta(0), "0 seconds"),
        (timedelta(seconds=-3), "0 seconds"),  # clocks of two machines differ
        (timedelta(days=41_666), "41,666 days"),
    ],
)
def test_a_span_is_told_in_the_largest_unit_of_which_it_has_one(span, words):
    assert span_in_words(span) == words
