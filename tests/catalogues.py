"""The catalogues of texts: what the sources say, and what each language has for it.

``python -m tests.catalogues`` (``make texts``) brings new texts into every ``.po`` file, empty,
and takes out those that are no longer said; what is translated stays.
"""

from __future__ import annotations

from importlib import import_module
from importlib.resources import files
from pathlib import Path

from babel.messages.catalog import Catalog
from babel.messages.extract import extract_from_dir
from babel.messages.pofile import read_po, write_po

from texts import LANGUAGES

SOURCE_LANGUAGE = "en"
CATALOGUES = {
    "service.console.language": "service/console",
    "service.me.language": "service/me",
    "terminal_client.kiosk.language": "terminal_client/kiosk",
}
"""The package that holds the catalogues, and the folder whose texts they are."""
KEYWORDS = {"_": None, "say": None, "later": None, "_n": (1, 2)}
METHODS = [("**.py", "python"), ("**/templates/**.html", "jinja2")]
OPTIONS = {
    "**/templates/**.html": {"trim_blocks": "true", "lstrip_blocks": "true", "silent": "false"}
}
TRANSLATED = tuple(language for language in LANGUAGES if language != SOURCE_LANGUAGE)


def said(package: str) -> Catalog:
    """Every text of the package's folder, and every word that its pages show by value."""
    found = Catalog(fuzzy=False)
    folder = Path(__file__).parents[1] / CATALOGUES[package]
    for _, _, text, _, _ in extract_from_dir(folder, METHODS, OPTIONS, KEYWORDS):
        found.add(text)
    for word in import_module(package).WORDS:
        found.add(word)
    return found


def path_of(package: str, language: str) -> Path:
    return Path(str(files(package) / f"{language}.po"))


def kept(package: str, language: str) -> Catalog:
    path = path_of(package, language)
    if not path.is_file():
        return Catalog(locale=language, fuzzy=False)
    with path.open("rb") as file:
        return read_po(file, locale=language)


def update(package: str, language: str) -> int:
    """Writes the catalogue anew; returns how many texts wait for a translation."""
    old, new = kept(package, language), Catalog(locale=language, fuzzy=False)
    for message in said(package):
        if message.id:
            before = old.get(message.id if isinstance(message.id, str) else message.id[0])
            new.add(message.id, before.string if before else None)
    with path_of(package, language).open("wb") as file:
        write_po(file, new, width=100, no_location=True, omit_header=True, sort_output=True)
    return sum(not message.string or not all(message.string) for message in new if message.id)


def main() -> None:
    for package in CATALOGUES:
        for language in TRANSLATED:
            print(f"{package} {language}: {update(package, language)} to translate")


if __name__ == "__main__":
    main()
