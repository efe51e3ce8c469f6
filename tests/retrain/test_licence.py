import pytest
from hypothesis import given
from hypothesis import strategies as st

from retrain.licence import NONE_STATED, judge_licence, require_licence, require_licence_of
from store.errors import Refused
from store.settings import load_settings
from tests.store.rows import base

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
        ("MIT/Apache-2.0", "permissive"),
        ("BSD-3-Clause-Clear", "permissive"),
        ("GPL-2.0+", "copyleft"),
        ("MIT, CC-BY-NC-4.0", "non_commercial"),
        ("mit/gpl-2.0+", "copyleft"),
        ("apache-2.0+cc-by-nc-4.0", "non_commercial"),
        ("mit; n/a", "none_stated"),
        ("CC-BY-3.0-IGO", "permissive"),
        ("cc-by-4.0-except-for-us", "other"),
        ("BSD-3-Clause-No-Military-License", "other"),
        ("BSD-3-Clause-No-Nuclear-License", "other"),
        ("BSD-Protection", "other"),
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


@pytest.mark.parametrize(
    "licence",
    [
        "MIT/CC-BY-NC-4.0", "mit, cc-by-nc-4.0", "mit;cc-by-nc-4.0", "mit|cc-by-nc-4.0", "mit & cc-by-nc-4.0",
        "apache-2.0+cc-by-nc-4.0", "gpl-2.0+ + cc-by-nc-4.0", "mit cc-by-nc-4.0", "CC BY-NC 4.0",
    ],
)  # fmt: skip
def test_a_denied_licence_is_found_however_it_is_joined_to_others(licence):
    assert judge_licence(licence, ["cc-by-nc*"]).denied
    assert not judge_licence(licence, ["bsd*"]).denied


def test_a_licence_of_a_person_does_not_hide_that_of_the_card():
    stricter = judge_licence("mit", (), card_says="cc-by-nc-4.0")
    assert (stricter.licence, stricter.kind, stricter.denied, stricter.clean) == ("mit", "non_commercial", False, False)
    told = "its model card says 'cc-by-nc-4.0', which"
    assert stricter.warning == f"{told} is stricter than 'mit'; read which of them holds"
    with pytest.raises(Refused, match=f"base 'x' cannot be used here: {told} DRIFTGATE_LICENSES_DENIED forbids"):
        require_licence("mit", ["cc-by-nc*"], what="base 'x'", card_says="cc-by-nc-4.0")


@given(names, names, entries)
def test_a_card_never_makes_a_verdict_laxer(said, card, denied):
    alone, beside = judge_licence(said, denied), judge_licence(said, denied, card_says=card)
    read = judge_licence(card, denied)
    assert STRICTNESS.index(beside.kind) >= STRICTNESS.index(alone.kind)
    assert beside.clean == (beside.warning is None)
    if read.licence == NONE_STATED:
        assert beside == alone, "the card says nothing against it"
    else:
        assert beside.denied == (alone.denied or read.denied)


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


@given(names, names, st.sampled_from([" AND ", " OR ", " with ", "/", ", ", ";", "|", " + "]), entries)
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


def test_a_base_in_the_store_is_judged_by_its_card_too():
    stored = base()
    stored.license, stored.card = "mit", {"licence": {"name": "mit", "card_says": "cc-by-nc-4.0"}}
    require_licence_of(stored, [])
    with pytest.raises(Refused, match="base 'minilm' cannot be used here"):
        require_licence_of(stored, ["cc-by-nc*"])
