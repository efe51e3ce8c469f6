"""Texts that are longer than the base reads: their end is cut off, in training and in serving."""

from collections.abc import Iterable, Mapping

from retrain.audit.base_view import BaseView
from retrain.audit.finding import Finding, Severity, make_finding, rows_told
from retrain.dataset import Row

_MANY_SHARE = 0.01


def too_long(whole: Mapping[int, Row], view: BaseView) -> Iterable[Finding]:
    cut = [n for n in whole if view.length_tokens[n - 1] > view.max_tokens]
    if cut:
        longest = max(cut, key=lambda n: view.length_tokens[n - 1])
        message = (
            f"{rows_told(len(cut))} ({len(cut) / len(whole):.1%}) longer than the {view.max_tokens} tokens that the "
            f"base reads, the longest with {view.length_tokens[longest - 1]} (row {longest}); their end is cut off"
        )
        severity: Severity = "warning" if len(cut) >= _MANY_SHARE * len(whole) else "info"
        yield make_finding("cut_texts", severity, message, cut)
