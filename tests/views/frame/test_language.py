"""Every page of every role is read for English words."""

from __future__ import annotations

import re
from collections.abc import Collection
from functools import cache
from html.parser import HTMLParser

import pytest

from app.domain.kinds import KINDS
from app.domain.machines import ALL_SCOPES
from app.extensions import db
from app.views.reference.base import ReferenceView
from tests.views.lists.test_queries import pages_of
from tests.views.walk import EVERY_ROLE, walk

# Latin that belongs there: names of things that have no Chinese one, and how dates are written.
ALLOWED = {
    *("IP", "CSV", "UTF", "Excel", "CO2e", "CCER", "USBKey", "PIN", "CA", "YYYY", "MM", "DD", "HH"),
    *("mm", "ss", "Chrome", "Edge", "Firefox", "Safari", "IE8", "Windows", "MB", "Cookie", "XLSX"),
    *(
        "IPv6",
        "Word",
        "trial",
        "KB",
        "PDF",
        "PNG",
        "JPG",
        "DOCX",
        "OFD",
        "SMTP",
        "ID",
        "IDs",
        "SHA",
        "ISO",
        "QR",
        "JSON",
        "ICBC",
        "ZIP",
        *("JWK", "PEM", "EC", "RSA", "Ed25519", "mTLS", "base64url"),  # names of standards
        "key",  # of a machine client, by its id
        *(part for scope in ALL_SCOPES for part in scope.split(":")),  # as tokens name them
    ),
}
# Codes: of instruments, documents, trades, officers.
PREFIXES = "|".join(
    sorted(
        {kind.prefix for kind in KINDS.values()}
        | {"PE", "LT", "EX", "CEA", "ZGW", "CNY", "QM", "MEEPT"}
    )
)
CODES = re.compile(
    rf"(?:{PREFIXES})[A-Z]?\d*|[PRSZ]\d{{2,4}}|D\d{{6}}|[RB]\d{{16}}|BANK\d+|SHEX\d+|M\d{{8}}"
)
READ_ALOUD = ("title", "alt", "placeholder", "aria-label", "data-confirm", "data-confirm-title")
SILENT = ("script", "style", "svg", "code")  # Code: the guides' commands.
WORD = re.compile(r"[A-Za-z][A-Za-z0-9]+")


class Reader(HTMLParser):
    """Collects visible and spoken text."""

    def __init__(self) -> None:
        super().__init__()
        self.texts: list[str] = []
        self.silent = 0

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.silent += tag in SILENT
        self.texts += [value for name, value in attributes if name in READ_ALOUD and value]
        named = dict(attributes)
        if tag == "input" and named.get("type") in ("submit", "button"):
            self.texts.append(named.get("value") or "")

    def handle_endtag(self, tag: str) -> None:
        self.silent -= tag in SILENT

    def handle_data(self, data: str) -> None:
        if not self.silent:
            self.texts.append(data)


def stored_words(app) -> set[str]:
    """Return the words of codes and English names, which the pages of reference data show as data."""
    pages = [page for page in app.appbuilder.baseviews if isinstance(page, ReferenceView)]
    named = ("code", "name_en", "trade_code")
    columns = [
        column
        for page in pages
        for column in page.datamodel.obj.__table__.columns
        if column.name in named
    ]
    texts = [text for column in columns for text in db.session.scalars(db.select(column))]
    return {word for text in texts for word in WORD.findall(text or "")}


# Serial numbers of certificates are no words, nor are addresses the numbers of standards and messages,
# nor settings.
PLAIN = re.compile(
    r"\b[0-9A-Fa-f]{24,}\b|\b[0-9A-Z]{18}\b|\S+@[\w.]+|@[\w.]+|GB/T|BANK_LINES|CCER_LINE|\bCC[0-9]{8}\b|\bETS-[BCR][0-9-]+|\S+\.(?:pdf|png|csv|xlsx)\b"
)
# Thumbprints of keys are random, and public keys themselves are JSON.
KEYS = re.compile(r"[A-Za-z0-9_-]{43}|\{[^{}]*\"kty\"[^{}]*\}")


def english(page: str, stored: Collection[str] = ()) -> list[str]:
    """Return words that are neither Chinese nor allowed nor stored, with context."""
    reader = Reader()
    reader.feed(page)
    return [
        f"{word}: {' '.join(text.split())[:80]}"
        for text in reader.texts
        for word in _foreign(text)
        if word not in stored
    ]


@cache
def _foreign(text: str) -> list[str]:
    """Return the words of a text that are neither Chinese nor allowed; most texts are on every page."""
    return [
        word
        for word in WORD.findall(KEYS.sub("", PLAIN.sub("", text)))
        if word not in ALLOWED and not CODES.fullmatch(word)
    ]


@pytest.mark.parametrize("role", EVERY_ROLE)
def test_every_page_of_a_role_is_chinese(app, world, sign_in, role):
    pages = walk(app, sign_in(world.member_of(role)), role, pages_of(app, role, world))
    data = {page.route_base for page in app.appbuilder.baseviews if isinstance(page, ReferenceView)}
    stored = stored_words(app)
    # Files are somebody's own, or have a test; browsers do not show what leads on.
    found = {
        address: english(page.text, stored if f"/{address.split('/')[1]}" in data else ())
        for address, page in pages.items()
        if page.mimetype == "text/html" and "Location" not in page.headers
    }
    assert found
    assert [f"{address} {word}" for address, words in found.items() for word in words] == []


def test_pages_of_strangers_are_chinese(app, client, monkeypatch):
    monkeypatch.setitem(app.config, "CAPTCHA_ENABLED", True)
    for address in ("/login/", "/login/?next=/holdings/", "/nowhere"):
        assert english(client.get(address).text) == [], address
    assert english(client.post("/login/", data={}).text) == []


@pytest.mark.parametrize("address", ["/nowhere", "/members/", "/transfers/permission/switch/on"])
def test_errors_are_chinese(world, sign_in, address):
    page = sign_in(world.a.member).get(address)
    assert page.status_code in (403, 404, 405)
    assert english(page.text) == []


def test_refused_forms_are_chinese(app, world, sign_in):
    browser = sign_in(world.a.member)
    answers = [
        browser.post("/password/", data={"original": "x", "new": new, "confirm": "y"})
        for new in ("", "short", "a" * 200, "12345678901", world.a.account.member_no + "Aa-")
    ]
    line = {"lines-0-choice": str(world.a.instrument.id), "submit": "1"}
    answers += [
        browser.post("/transfers/registry-to-trading/new", data={**line, "lines-0-quantity": typed})
        for typed in ("", "0", "-5", "1.5", "1e3", "１００", str(2**63), "99999", "1")
    ]
    answers += [
        browser.get(f"/holdings/?{query}")
        for query in ("as_of=yesterday", "sort=nothing", "page=x", "size=7", "after=x")
    ]
    answers += [
        browser.post(
            f"/transfers/registry-to-trading/{world.a.submitted}/withdraw", follow_redirects=True
        ),
        browser.get(f"/transfers/registry-to-trading/{world.a.submitted}"),
        browser.get(
            f"/transfers/registry-to-trading/{world.a.submitted}/edit", follow_redirects=True
        ),
    ]
    for answer in answers:
        typed = {"x", "y", "short", "yesterday", "e3"}
        words = [word for word in english(answer.text) if word.split(":")[0] not in typed]
        assert words == [], (answer.request.path, answer.request.query_string)


def test_the_reader_finds_what_is_english():
    page = '<h1>持仓 Holdings</h1><p title="More of it">PE2021000025</p><script>if</script>'
    assert [word.split(":")[0] for word in english(page)] == ["Holdings", "More", "of", "it"]
