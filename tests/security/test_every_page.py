"""Every page of every role: headers, scripts, and hostile input in rows, rules and addresses."""

from __future__ import annotations

import csv
import io
import re
from html.parser import HTMLParser
from itertools import chain

import pytest
from markupsafe import escape
from sqlalchemy import select, text, update

from app.extensions import db, transaction
from app.models import Account
from app.security.permission_sheet import sheet
from tests import factories
from tests.factories import nothing_moves
from tests.views.frame.test_url_map import addresses_with_rules
from tests.views.lists.test_queries import pages_of
from tests.views.walk import EVERY_ROLE, look, walk
from tests.views.world import list_pages, restored_world

# What a name or a reason may hold: a formula first, markup, templates, formats, an override of
# direction.  All in one: each of them does its harm in company, too.
HOSTILE = (
    "=cmd|'/C calc'!A0<img src=x onerror=alert(1)>{{7*1234567}}%s%(name)s{0}\u202e甲"
    "'); DROP TABLE account; --"
)
# How Flask-AppBuilder's lists would filter and order by any column.
STRANGE = [
    {
        "_flt_0_password": "x",
        "_flt_0_created_by.password": "scrypt",
        "_flt_99_name": "x",
        "_oc_MemberView": "password",
        "_od_MemberView": "asc",
        "order_column": "password",
        "order_direction": "asc; DROP TABLE account",
        "psize_MemberView": "100000",
        "page_MemberView": "-1",
    },
    {"sort": "password"},
    {"sort": "(SELECT 1)"},
]
QUANTITIES = [
    "0", "-1", "1e9", "0.5", "1e2", "１００", "1,000", "NaN", "Infinity", "-Infinity", str(2**63),
    str(2**64), "0b1", "1_0", "+1", "٣",
]  # fmt: skip


@pytest.fixture
def world(app, tables):
    return restored_world(tables)


class Reader(HTMLParser):
    """Collects what the content security policy would block, and forbidden elements."""

    def __init__(self, nonce: str) -> None:
        super().__init__()
        self.nonce, self.faults = nonce, []

    def handle_starttag(self, tag, attrs):
        named = dict(attrs)
        if tag == "script" and "src" not in named and named.get("nonce") != self.nonce:
            self.faults.append("an inline script without its nonce")
        self.faults += [f"{name} on {tag}" for name in named if name.startswith("on")]
        if (named.get("href") or "").lower().startswith("javascript:"):
            self.faults.append("a javascript: link")
        if tag in ("iframe", "object", "embed", "base"):
            self.faults.append(tag)


def pages(app, browser, role):
    """Yield path and answer of every page without a parameter that a role opens."""
    for path in opened_by(app, role):
        yield path, browser.get(path)


def opened_by(app, role, *, is_allowed: bool = True) -> list[str]:
    """Return the paths without a parameter that a role opens, or those that it does not."""
    with app.test_request_context():
        opened = {address for line in sheet() if line.allows(role) for address in line.addresses}
    return [
        path
        for method, path, endpoint, rule in addresses_with_rules(app)
        if method == "GET"
        and (("GET", rule) in opened) is is_allowed
        and "<" not in rule
        and not endpoint.endswith((".wav", ".png"))
    ]


@pytest.mark.parametrize("role", EVERY_ROLE)
def test_every_page_carries_the_policy_and_keeps_to_it(app, world, sign_in, role):
    browser = sign_in(world.member_of(role))
    seen = walk(app, browser, role, pages_of(app, role, world))
    files = {path for path in opened_by(app, role) if path.endswith((".csv", ".xlsx"))}
    others = set(opened_by(app, role)) - seen.keys() - files
    if role == "registry_maker":
        others |= files
    others |= {"/nowhere", opened_by(app, role, is_allowed=False)[0]}
    found = {path: look(app, browser, path) for path in sorted(others)}
    drawn = {path: page for path, page in seen.items() if page.text}  # Files have their own.
    assert len(drawn) > 5
    for path, page in (drawn | found).items():
        policy = page.headers["Content-Security-Policy"]
        assert "script-src 'self' 'nonce-" in policy, path
        assert "object-src 'none'" in policy, path
        assert "base-uri 'none'" in policy, path
        assert "form-action 'self'" in policy, path
        assert "frame-ancestors 'none'" in policy, path
        assert page.headers["X-Content-Type-Options"] == "nosniff", path
        reader = Reader(re.search(r"'nonce-([^']+)'", policy)[1])
        reader.feed(page.text)
        assert reader.faults == [], path


def test_the_reader_finds_what_the_policy_stops():
    reader = Reader("n")
    reader.feed("<script>x</script><p onclick=x><a href='JavaScript:x'><iframe><script nonce=n>")
    assert len(reader.faults) == 4


def test_hostile_words_stay_words_on_every_page_and_in_every_file(app, world, sign_in):
    name = HOSTILE
    with transaction():
        db.session.execute(
            update(Account).where(Account.id == world.a.account.id).values(name=name)
        )
        db.session.execute(text("UPDATE application SET reason = :name WHERE status = 'draft'"),
                           {"name": name})  # fmt: skip
    browser = sign_in(world.member_of("registry_maker"))
    seen = 0
    for path, response in pages(app, browser, "registry_maker"):
        assert response.status_code < 500, path
        if response.mimetype == "text/html":
            assert "<img src=x" not in response.text, path
            assert str(7 * 1234567) not in response.text, path
            seen += str(escape(name)) in response.text
        if response.mimetype == "text/csv":
            for cell in chain(*csv.reader(io.StringIO(response.text.removeprefix("\ufeff")))):
                assert cell[:1] not in "=+@" or not cell, (path, cell)
    assert seen > 3


def test_no_list_filters_or_orders_by_what_it_does_not_offer(app, world, sign_in):
    opened = set()
    for role in ("registry_maker", "security_admin", "auditor", "enterprise"):
        browser = sign_in(world.member_of(role))
        for address in {f"{page.route_base}/" for page in list_pages(app)} - opened:
            plain = browser.get(address)
            if plain.status_code != 200:
                continue
            opened.add(address)
            for query in STRANGE:
                asked = browser.get(address, query_string=query)
                if "sort" in query:
                    assert asked.status_code == 400, address
                else:
                    assert asked.status_code == 200, address
                    assert rows(asked.text) == rows(plain.text), address
    assert len(opened) > 100


def rows(page: str) -> list[str]:
    """Return the words of the table's rows, without the links around them."""
    return [
        " ".join(re.sub(r"<[^>]+>", " ", row).split())
        for row in re.findall(r"<tr[^>]*>(.*?)</tr>", page.partition("<tbody")[2], re.S)
    ]


FORMS = ["/transfers/registry-to-trading/new", "/voluntary-cancellations/new"]


@pytest.mark.parametrize("typed", QUANTITIES)
def test_only_whole_tonnes_are_a_quantity(app, sign_in, plant, typed):
    """'NaN', 'Infinity', exponents, signs, points, full-width and Arabic digits are none."""
    cea = factories.instrument()
    factories.give(plant, cea, 3000)
    venue = factories.venue().id
    db.session.commit()
    browser = sign_in(factories.member(of=plant))
    forms = [rule.rule for rule in app.url_map.iter_rules() if rule.rule in FORMS]
    assert len(forms) == len(FORMS)
    for path in forms:
        form = {
            "lines-0-choice": str(cea.id),
            "lines-0-quantity": typed,
            "lines-0-venue": str(venue),
            "reason": "试一试",
            "submit": "1",
        }
        with nothing_moves():
            answer = browser.post(path, data=form)
        assert answer.status_code == 400, (path, typed)
        assert 'class="field-error"' in answer.text
        assert db.session.scalar(select(db.func.count()).select_from(db.text("application"))) == 0


def test_every_state_change_has_one_entry_in_the_log(app, world):
    """One for each event except saving a draft, by the same person."""
    events = read("""
        SELECT a.number, a.kind || '.' || e.action, e.member_id, e.ip, e.comment
          FROM application_event e JOIN application a ON a.id = e.application_id
         WHERE e.action <> 'save'
    """)
    entries = read("""
        SELECT o.subject, o.action, o.member_id, o.ip, o.detail ->> 'comment'
          FROM operation_log o JOIN application a ON a.number = o.subject
         WHERE o.action LIKE a.kind || '.%'
    """)
    assert len(events) > 50
    assert entries == events


def read(statement: str) -> list[str]:
    return sorted(str(row) for row in db.session.execute(text(statement)))
