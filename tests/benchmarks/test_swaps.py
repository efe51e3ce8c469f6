"""What the benchmark of promotions concludes from what one caller saw."""

from math import inf

from benchmarks.swaps import Answer, Promotion, first_answers_s, wrong_answers

START = Promotion(1, -inf, -inf)
SECOND = Promotion(2, sent_s=10.0, acked_s=10.1)
THIRD = Promotion(3, sent_s=20.0, acked_s=20.1)


def wrong(*answers: Answer, promotions: tuple[Promotion, ...] = (START, SECOND, THIRD)) -> list[Answer]:
    return wrong_answers(promotions, answers, grace_s=0.15)


def test_a_promotion_is_over_with_its_first_answer():
    answers = [Answer(9.9, 10.05, 1), Answer(10.1, 10.2, 2), Answer(10.2, 10.3, 2), Answer(20.0, 20.05, 3)]
    assert first_answers_s([SECOND, THIRD], answers) == [10.2 - 10.1, 0.0], "the second answered before its response"


def test_a_promotion_that_was_overtaken_is_over_with_an_answer_of_the_next():
    assert first_answers_s([SECOND, Promotion(3, 10.2, 10.3)], [Answer(10.1, 10.6, 3)]) == [
        10.6 - 10.1,
        10.6 - 10.3,
    ]


def test_a_version_that_never_answers_is_not_forgiven_but_one_that_nobody_asked_is():
    assert first_answers_s([SECOND], [Answer(12.0, 12.1, 1)]) == [inf]
    assert first_answers_s([SECOND], [Answer(9.0, 9.1, 1)]) == []


def test_answers_around_a_promotion_may_be_of_either_version():
    assert not wrong(Answer(9, 9.1, 1), Answer(10.0, 10.05, 1), Answer(10.2, 10.3, 1), Answer(10.3, 10.4, 2))
    assert not wrong(Answer(9.9, 10.05, 2)), "it was served before the promotion was acknowledged"


def test_the_old_version_after_the_grace_is_wrong():
    late = Answer(10.3, 10.4, 1)
    assert wrong(late) == [late]


def test_the_old_version_after_the_new_one_is_wrong_even_within_the_grace():
    back = Answer(10.2, 10.25, 1)
    assert wrong(Answer(10.1, 10.15, 2), back) == [back]


def test_a_version_before_its_promotion_is_wrong():
    early = Answer(9.0, 9.1, 2)
    assert wrong(early) == [early]


def test_a_version_may_come_round_again():
    again = Promotion(1, sent_s=30.0, acked_s=30.1)
    seen = [Answer(9, 9.1, 1), Answer(15, 15.1, 2), Answer(25, 25.1, 3), Answer(35, 35.1, 1)]
    assert not wrong(*seen, promotions=(START, SECOND, THIRD, again))
