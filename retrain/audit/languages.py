"""Which languages the texts are in: a base that never read one of them answers by luck.

No library for this is at hand that is kept and small, and little is asked: to tell that rows are of another language
than most, never to be sure of one short text. So a text has a language only where its script or its most frequent small
words say so clearly; all others count as unclear and are not told.
"""

import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Mapping

from retrain.audit.finding import Finding, Severity, make_finding
from retrain.dataset import Row

_FEW_SHARE = 0.005
_MIN_WORDS = 2
"""Small words of a language that a text must hold, and hold more of than of any other."""
_SMALL_WORDS = {
    "English": "the and is are was my me you your what how can could do does it of for with this that have has not "
    "please will would where when why which there from they we be an on at am i'm don't i to in me a so or if but by "
    "he she his her our us them just get got need no as go all out up",
    "German": "der die das und ist nicht ich sie wir ein eine einen dem den mit auf für von zu wie was kann können "
    "bitte mein meine mir mich haben habe wird auch noch bei nach warum wann ihr uns sind",
    "French": "le la les et est une des du je vous nous il elle pas que qui dans pour avec sur mon ma mes votre "
    "comment quel quelle pouvez peux suis être avez s'il c'est j'ai où aux ce cette",
    "Spanish": "el la los las y es una unos que no por para con mi mis su tu cómo qué cuál cuando donde puedo puede "
    "quiero tengo está estoy hay del al se lo usted pero muy",
    "Italian": "il lo la gli le e è una che non per con mio mia sono come cosa quando dove posso può voglio ho hai "
    "della del dei nel sul ma anche questo questa mi ti si",
    "Portuguese": "o os as e é uma que não por para com meu minha seu sua como quando onde posso pode quero tenho "
    "está estou do da dos das no na em você mas muito",
    "Dutch": "de het een en is niet ik je jij wij we van voor met op aan hoe wat kan kunt mijn mij heb heeft zijn "
    "waar wanneer waarom ook nog bij naar dit dat er",
    "Swedish": "och är inte jag du vi det den en ett som för med på av till hur vad kan min mitt mina har när var "
    "varför också från om att ni",
    "Polish": "i w na nie się jest że do to jak co mój moja czy dla z od przez gdzie kiedy mam proszę są był ale "
    "tylko jestem",
}
_LANGUAGES_OF: dict[str, frozenset[str]] = {}
for _language, _words in _SMALL_WORDS.items():
    for _word in _words.split():
        _LANGUAGES_OF[_word] = _LANGUAGES_OF.get(_word, frozenset()) | {_language}
_SCRIPTS = {
    "CYRILLIC": "Cyrillic script",
    "GREEK": "Greek",
    "ARABIC": "Arabic script",
    "HEBREW": "Hebrew",
    "DEVANAGARI": "Devanagari script",
    "THAI": "Thai",
    "HANGUL": "Korean",
    "HIRAGANA": "Japanese",
    "KATAKANA": "Japanese",
    "CJK": "Chinese or Japanese",
}


def language_of(text: str) -> str | None:
    """The language, or the script where several languages share it; None where the text does not say clearly."""
    return _script_of(text) or _by_small_words(text)


def mixed_languages(whole: Mapping[int, Row]) -> Iterable[Finding]:
    found = {number: language_of(row.text) for number, row in whole.items()}
    counts = Counter(language for language in found.values() if language is not None)
    if len(counts) < 2:
        return
    main, _ = counts.most_common(1)[0]
    others = {n: language for n, language in found.items() if language not in (None, main)}
    told = ", ".join(f"{language} {count}" for language, count in counts.most_common())
    severity: Severity = "warning" if len(others) >= _FEW_SHARE * len(whole) else "info"
    message = (
        f"texts in several languages ({told}; {len(whole) - counts.total()} unclear): a base answers well only in "
        "those that it was pretrained on"
    )
    yield make_finding("languages", severity, message, sorted(others))


def _script_of(text: str) -> str | None:
    """Of the larger part of the letters, unless that is Latin."""
    scripts: Counter[str] = Counter()
    for letter in text:
        if letter.isalpha():
            scripts["LATIN" if letter < "\u0250" else unicodedata.name(letter, "?").split()[0].split("-")[0]] += 1
    if not scripts:
        return None
    if scripts["HIRAGANA"] + scripts["KATAKANA"] and scripts["CJK"]:
        return _SCRIPTS["HIRAGANA"]
    script, count = scripts.most_common(1)[0]
    return _SCRIPTS.get(script) if 2 * count > scripts.total() else None


def _by_small_words(text: str) -> str | None:
    hits: Counter[str] = Counter()
    for word in set(re.findall(r"[^\W\d_]+(?:'[^\W\d_]+)?", text.casefold())):
        hits.update(_LANGUAGES_OF.get(word, ()))
    (first, most), (_, second) = [*hits.most_common(2), ("", 0), ("", 0)][:2]
    return first if most >= _MIN_WORDS and most > second else None
