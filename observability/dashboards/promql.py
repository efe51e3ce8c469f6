"""How our queries are put together: which models they are about, and the forms that come back in many of them."""

from dataclasses import dataclass

SHOWN = "$__rate_interval"
"""The shortest time over which Grafana can show a rate at its resolution."""
ALERTED = "5m"
"""The time over which the alert rules look at requests."""


@dataclass(frozen=True, slots=True)
class Scope:
    """The models that a query is about. `labels` tell them apart in its answer, where there are several."""

    matcher: str
    labels: tuple[str, ...]

    def of(self, metric: str, *matchers: str) -> str:
        """A selector; `matchers` such as `kind="labelled"`."""
        everything = ", ".join(filter(None, (self.matcher, *matchers)))
        return f"{metric}{{{everything}}}" if everything else metric

    def by(self, function: str, *labels: str) -> str:
        """`function by (...)`, ready for its argument."""
        kept = (*self.labels, *labels)
        return f"{function} by ({', '.join(kept)}) " if kept else function

    def legend(self, *words: str) -> str:
        """`words`, after the name of the model where there are several."""
        return " ".join((*("{{" + label + "}}" for label in self.labels), *words))


EVERY = Scope("", ("model",))
EVERY_KNOWN = Scope('model!="unknown"', ("model",))
"""Without the requests for names that are nobody's."""
CHOSEN = Scope('model=~"$model"', ("model",))
ONE = Scope('model="$model"', ())


def quantile(share: float, histogram: str, *, over: str = SHOWN) -> str:
    return f"histogram_quantile({share:g}, sum by (le) (rate({histogram}_bucket[{over}])))"


def mean(histogram: str) -> str:
    return f"sum(rate({histogram}_sum[{SHOWN}])) / sum(rate({histogram}_count[{SHOWN}]))"


def share_of_answers(scope: Scope, code: str, *, over: str = ALERTED) -> str:
    """Answers whose code matches, by all of them: 0 where there was no such answer, nothing where there was none."""

    def rate(*matchers: str) -> str:
        return f"{scope.by('sum')}(rate({scope.of('driftgate_requests_total', *matchers)}[{over}]))"

    some, every = rate(f'code=~"{code}"'), rate()
    return f"({some} or 0 * {every}) / ({every} > 0)"


def accuracy_kept(scope: Scope, kind: str, *labels: str) -> str:
    """Accuracy now by what the version reached on its validation rows."""
    now, before = (scope.of("driftgate_accuracy", f'kind="{which}"') for which in (kind, "validation"))
    newest = scope.by("max", *labels)
    return f"{newest}({now}) / {newest}({before})"
