import pytest
from hypothesis import given
from hypothesis import strategies as st

from retrain.licence import NONE_STATED, judge_licence, require_licence
from store.errors import Refused
from store.settings import load_settings

DENIED = load_settings().denied_licences
NAMES = (
    "apache-2.0", "mit", "bsd-3-clause", "cc0-1.0", "cc-by-4.0", "gpl-3.0", "lgpl-2.1", "cc-by-sa-4.0", "cc-by-nc-4.0",
    "cc-by-nc-sa-4.0", "openrail", "llama3", "intel-research", "none stated", "unknown",
)  # fmt: skip
names = st.sampled_from(NAMES)
anything = names | st.text(max_size=30) | st.none()
entries = st.lists(names | st.sampled_from(["cc-by-nc*", "*", "gpl*"]), max_size=4)
STRICTNESS = ["permissive", "copyleft", "other", "non_commercial", "none_stated"]


@pytest.mark.parametrize(
    ("licence", "kind"),
    [
        ("apache-2.0", "permissive"),
        ("Apache-2.0", "permissive"),
        ("MIT", "permissive"),
        ("BSD-3-Clause", "permissive"),
        ("0BSD", "permissive"),
        ("cc0-1.0", "permissive"),
        ("CC-BY-4.0", "permissive"),
        ("MIT OR Apache-2.0", "permissive"),
        ("GPL-3.0-or-later", "copyleft"),
        ("agpl-3.0", "copyleft"),
        ("LGPL-2.1-only", "copyleft"),
        ("GPL-2.0-only WITH Classpath-exception-2.0", "other"),
        ("cc-by-sa-4.0", "copyleft"),
        ("cc-by-nc-4.0", "non_commercial"),
        ("CC-BY-NC-SA-4.0", "non_commercial"),
        ("fair-noncommercial-research-license", "non_commercial"),
        ("apple-amlr", "non_commercial"),
        ("Apache-2.0 AND (CC-BY-NC-4.0)", "non_commercial"),
        ("cc-by-nd-4.0", "other"),
        ("bigscience-openrail-m", "other"),
        ("openrail", "other"),
        ("gemma", "other"),
        ("other", "other"),
        ("mitigated", "other"),
        (None, "none_stated"),
        ("", "none_stated"),
        ("None stated", "none_stated"),
        ("unknown", "none_stated"),
    ],
)
def test_licences_are_of_the_kind_that_people_know_them_for(licence, kind):
    assert judge_licence(licence, ()).kind == kind


@pytest.mark.parametrize("licence", ["intel-research", "H-Research", "apple-amlr", "deepfloyd-if-license"])
def test_a_licence_for_research_alone_is_denied_by_default(licence):
    verdict = judge_licence(licence, DENIED)
    assert verdict.denied
    with pytest.raises(Refused, match=f"base 'x' cannot be used here: its licence, '{licence}', is one that DRIFTGATE"):
        require_licence(licence, DENIED, what="base 'x'")


@pytest.mark.parametrize("licence", ["apache-2.0", "cc-by-nc-4.0", "gpl-3.0", None])
def test_what_is_not_on_the_list_is_not_denied(licence):
    assert not judge_licence(licence, DENIED).denied
    require_licence(licence, DENIED, what="base 'x'")


def test_the_list_is_a_setting_in_which_case_does_not_matter():
    denied = load_settings(licenses_denied=" CC-BY-NC* , ,gpl-3.0,None Stated ").denied_licences
    assert denied == ("CC-BY-NC*", "gpl-3.0", "None Stated")
    assert [judge_licence(name, denied).denied for name in ("cc-by-nc-4.0", "GPL-3.0", None, "gpl-2.0", "mit")] == [
        True, True, True, False, False,
    ]  # fmt: skip
    assert load_settings(licenses_denied="").denied_licences == ()


@given(anything, entries)
def test_every_verdict_is_whole(licence, denied):
    verdict = judge_licence(licence, denied)
    assert verdict.clean == (verdict.warning is None)
    assert verdict.licence
    if verdict.warning is not None:
        assert "\n" not in verdict.warning
    assert judge_licence(verdict.licence, denied).kind == verdict.kind, "what is kept is judged like what was said"


@given(names, entries)
def test_case_and_blanks_change_nothing(licence, denied):
    one, other = judge_licence(licence, denied), judge_licence(f"  {licence.upper()} ", [e.upper() for e in denied])
    assert (one.kind, one.denied) == (other.kind, other.denied)


@given(names, names, st.sampled_from([" AND ", " OR ", " with "]), entries)
def test_one_licence_more_never_makes_it_laxer(one, other, joined, denied):
    both = judge_licence(f"({one}{joined}{other})", denied)
    parts = [judge_licence(name, denied) for name in (one, other)]
    assert STRICTNESS.index(both.kind) == max(STRICTNESS.index(part.kind) for part in parts)
    assert both.denied == any(part.denied for part in parts)


@given(anything, entries, names)
def test_one_entry_more_never_allows_what_was_denied(licence, denied, more):
    if judge_licence(licence, denied).denied:
        assert judge_licence(licence, [*denied, more]).denied


def test_nothing_stated_is_kept_in_one_word():
    assert {judge_licence(nothing, ()).licence for nothing in (None, "", " unknown ", "N/A")} == {NONE_STATED}
