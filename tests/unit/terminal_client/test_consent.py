"""What somebody agreed to is what they were shown: a version names one text in each language."""

from __future__ import annotations

from hashlib import sha256

from terminal_client.enrolment import CONSENT_VERSION, Consent
from terminal_client.kiosk.words import shipped_consent

DIGESTS: dict[str, dict[str, str]] = {
    "2026-11": {
        "en": "e382b06600ac80a9",
        "es": "cb479c44d07a9ec5",
        "zh": "6c4470aa528a9051",
    },
}
"""Of each version's texts. A text that changes gets a new version, here and in the policy."""


def test_a_version_keeps_its_texts() -> None:
    texts = shipped_consent().texts
    digests = {each: sha256(text.encode()).hexdigest()[:16] for each, text in texts.items()}
    assert digests == DIGESTS[CONSENT_VERSION]
    assert len(set(digests.values())) == len(digests), "one is not translated"


def test_who_reads_another_language_is_shown_the_terminals_own() -> None:
    consent = Consent(version="7", texts={"es": "Hola", "en": "Hello"})
    assert [consent.language(each) for each in ("en", "es", "zh")] == ["en", "es", "es"]
    assert consent.named("es") == "7/es"
