"""What a version is worth in money: the value of more right answers against what labels and training cost.

The difference in accuracy has an interval, and so has all that follows from it.
"""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Prices:
    """In one currency, whichever it is."""

    value_per_correct: float
    """Of one right answer more."""
    predictions_per_day: float | None = None
    cost_of_label: float = 0.0
    cost_of_hour: float = 0.0
    """Of an hour of training."""


@dataclass(frozen=True, slots=True)
class Span:
    value: float
    low: float
    high: float

    def times(self, factor: float) -> "Span":
        """factor: not below 0."""
        return Span(self.value * factor, self.low * factor, self.high * factor)


@dataclass(frozen=True, slots=True)
class Worth:
    per_thousand: Span
    """Value of a thousand answers."""
    per_day: Span | None
    cost: float
    days_to_pay_back: float | None
    """At the measured difference; None where it is never, or the traffic is not known."""
    days_at_worst: float | None
    """At the lower end of the interval; None where it is never."""
    verdict: str
    """One sentence."""


def weigh(difference: Span, prices: Prices, *, labels: int, training_s: float) -> Worth:
    """difference: accuracy of the version minus that of what it is compared with. labels: that had to be bought."""
    per_thousand = difference.times(1000 * prices.value_per_correct)
    cost = labels * prices.cost_of_label + training_s / 3600 * prices.cost_of_hour
    per_day = None
    if prices.predictions_per_day is not None:
        per_day = difference.times(prices.value_per_correct * prices.predictions_per_day)
    return Worth(
        per_thousand=per_thousand,
        per_day=per_day,
        cost=cost,
        days_to_pay_back=_days(cost, per_day.value if per_day else 0.0),
        days_at_worst=_days(cost, per_day.low if per_day else 0.0),
        verdict=_verdict(difference),
    )


def _days(cost: float, per_day: float) -> float | None:
    return cost / per_day if per_day > 0 else None


def _verdict(difference: Span) -> str:
    if difference.low > 0:
        return "it earns more; how much lies in the interval with 95 % confidence"
    if difference.high < 0:
        return "it loses money; how much lies in the interval with 95 % confidence"
    return "the interval includes 0: these test rows do not show that it earns anything; more of them would narrow it"
