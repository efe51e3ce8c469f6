import pytest

from retrain.audit import audit_rows
from retrain.audit.languages import language_of
from retrain.dataset import Row


@pytest.mark.parametrize(
    ("text", "language"),
    [
        ("where is the parcel that you sent me", "English"),
        ("wo ist das Paket, das sie mir geschickt haben", "German"),
        ("où est le colis que vous avez envoyé pour moi", "French"),
        ("dónde está el paquete que usted me envió, no lo tengo", "Spanish"),
        ("non ho ancora il pacco che mi hai spedito", "Italian"),
        ("onde está a encomenda que você não enviou para mim", "Portuguese"),
        ("waar is het pakket dat je mij hebt gestuurd", "Dutch"),
        ("где моя посылка", "Cyrillic script"),
        ("荷物はどこですか", "Japanese"),
        ("我的包裹在哪里", "Chinese or Japanese"),
        ("내 소포는 어디에 있나요", "Korean"),
        ("parcel", None),
        ("", None),
        ("404 !!!", None),
    ],
)
def test_a_text_says_its_language_or_nothing(text, language):
    assert language_of(text) == language


def test_rows_of_another_language_are_named():
    english = [Row(f"where is the thing that you {verb} for me", "ab"[n % 2]) for n, verb in enumerate("abcdefgh")]
    audit = audit_rows([*english, Row("wo ist das Paket, das sie mir geschickt haben", "a")])
    found = next(finding for finding in audit.findings if finding.kind == "languages")
    assert found.rows == (9,)
    assert "English 8, German 1" in found.message
    assert found.severity == "warning"
    assert "languages" not in {finding.kind for finding in audit_rows(english).findings}
