"""证明: content of the PDF, access, and the public check of a code."""

from __future__ import annotations

import io
import re

import pypdf
import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from sqlalchemy import select

from app.domain.errors import RuleError
from app.extensions import db, transaction
from app.models import Attestation, OperationLog
from app.operations.compliance import attestations
from app.operations.compliance.attestations import Certified
from app.operations.records import clock
from app.operations.records.actor import Actor
from app.pki.canonical import canonical
from app.pki.errors import SignerAbsent
from app.pki.tokens import sign_with
from app.security.gate import RateLimit
from app.views.attestations import attestations as attestation
from app.views.attestations import drawing
from tests import factories
from tests.signing import authority_folder, signing

__all__ = ["authority_folder", "signing"]

REASON = "张三的会议实现碳中和"
LINES = [
    {"code": "PE2021000025", "name": "2021年5月17日增持的配额", "vintage": 2020, "quantity": 1200},
    {
        "code": "PE2023000007",
        "name": "2023年度核定配额 <b>&",
        "vintage": 2023,
        "quantity": 8194000000,
    },
]


@pytest.fixture(autouse=True)
def _no_requests_counted():
    attestation._limit.clear()


@pytest.fixture
def plant(app):
    return factories.account("甲发电有限公司", "42", uscc="914200001234567890")


def _issue(account, **more) -> Attestation:
    kind = "compliance" if "notice" in more else "cancellation"
    operator = factories.member(of=account)
    content = {
        "member_no": account.member_no,
        "name": account.name,
        "uscc": account.uscc,
        "lines": LINES,
        "total": 8194001200,
        "effective_at": clock.now().isoformat(),
        **more,
    }
    source = {"year": 2025}
    if kind == "cancellation":
        what = factories.instrument()
        factories.give(account, what, 10)
        source = {"application_id": factories.draft("voluntary_cancellation", operator, {what: 1})}
    with transaction():
        made = Certified(kind, account.id, content, **source)
        attestations.issue([made], Actor.of(operator), clock.now())
    return db.session.scalars(select(Attestation)).one()


@pytest.fixture
def issued(plant):
    return _issue(plant, application="ZX202611200000123", reason=REASON)


def words(content: bytes) -> str:
    pages = pypdf.PdfReader(io.BytesIO(content)).pages
    return "".join("".join(page.extract_text() for page in pages).split())


def test_the_pdf_says_what_was_certified(sign_in, plant, issued):
    answer = sign_in(factories.member(of=plant)).get(f"/attestations/{issued.id}.pdf")
    found = words(answer.data)

    assert answer.mimetype == "application/pdf"
    assert answer.headers["Cache-Control"] == "no-store"
    for fact in (
        "自愿注销证明", issued.number, attestations.shown_code(issued.code), plant.name,
        plant.uscc, plant.member_no, "PE2021000025", "2021年5月17日增持的配额",
        "2023年度核定配额<b>&", "1,200", "8,194,000,000", "8,194,001,200", REASON,
        "2026年11月20日", "ZX202611200000123", "http://localhost/verify",
    ):  # fmt: skip
        assert fact in found, fact


def test_compliance_has_a_certificate_of_its_own(app, plant):
    found = _issue(plant, notice="LY2025000001", year=2025, obligation=8194001200)
    said = words(drawing.draw(found, "https://x.example/verify/y"))

    assert "履约证明" in said
    assert "2025年度应履约量8,194,001,200吨二氧化碳当量" in said
    assert "LY2025000001" in said
    assert "注销" not in said


def test_the_same_attestation_gives_the_same_bytes(issued):
    url = "https://x.example/verify/y"

    assert drawing.draw(issued, url) == drawing.draw(issued, url)
    assert drawing.draw(issued, url) != drawing.draw(issued, url + "z")


def test_its_font_travels_with_it(issued):
    reader = pypdf.PdfReader(io.BytesIO(drawing.draw(issued, "https://x.example/verify/y")))
    fonts = [each.get_object() for each in reader.pages[0]["/Resources"]["/Font"].values()]
    embedded = [font for font in fonts if "/FontDescriptor" in font]

    assert len(embedded) >= 2
    assert all("/FontFile2" in font["/FontDescriptor"].get_object() for font in embedded)


def _rare_fonts(content: bytes) -> int:
    """Return how many times a page names the rare font."""
    fonts = [
        each.get_object()
        for page in pypdf.PdfReader(io.BytesIO(content)).pages
        for each in page["/Resources"]["/Font"].values()
    ]
    return sum("HanaMin" in str(font["/BaseFont"]) for font in fonts)


def test_rare_characters_of_a_name_are_drawn_in_a_font_that_has_them(app):
    """GB 18030 has them, and they occur in registered names."""
    plant = factories.account("湖北𠮷㑇䶮囍能源有限公司", "42", uscc="914200001234567890")
    found = _issue(plant, application="ZX202611200000123", reason="𬬻与𠮷")
    content = drawing.draw(found, "https://x.example/verify/y")

    assert "湖北𠮷㑇䶮囍能源有限公司" in words(content)
    assert "𬬻与𠮷" in words(content)
    assert _rare_fonts(content) >= 1
    assert content == drawing.draw(found, "https://x.example/verify/y")


def test_a_usual_certificate_carries_no_font_of_rare_ones(issued):
    assert _rare_fonts(drawing.draw(issued, "https://x.example/verify/y")) == 0


@pytest.mark.parametrize("wrong", [{"name": "甲🙂厂"}, {"reason": "为了ꙮ"}])
def test_what_no_font_draws_is_refused_before_there_is_a_certificate(plant, wrong):
    with pytest.raises(RuleError, match=r"第 \d 个字符“.”（U\+(1F642|A66E)）无法印制在证明上"):
        _issue(plant, application="ZX202611200000123", **{"reason": REASON, **wrong})
    assert db.session.query(Attestation).count() == 0


def test_a_certificate_is_never_drawn_with_a_box(issued):
    db.session.expunge(issued)
    issued.content = {**issued.content, "name": "甲🙂厂"}
    with pytest.raises(RuleError, match="无法印制在证明上"):
        drawing.draw(issued, "https://x.example/verify/y")


def test_many_lines_take_more_pages_each_with_its_code(issued):
    db.session.expunge(issued)
    issued.content = {**issued.content, "lines": LINES * 20}
    pages = pypdf.PdfReader(io.BytesIO(drawing.draw(issued, "https://x.example/verify/y"))).pages

    assert len(pages) > 1
    for number, page in enumerate(pages, start=1):
        said = "".join(page.extract_text().split())
        assert f"第{number}页，共{len(pages)}页" in said
        assert attestations.shown_code(issued.code) in said


def test_another_enterprises_certificate_is_not_there(sign_in, issued):
    stranger = sign_in(factories.member(of=factories.account("乙水泥有限公司", "42")))

    assert stranger.get(f"/attestations/{issued.id}.pdf").status_code == 404
    assert stranger.get("/attestations/999999.pdf").status_code == 404
    other_province = sign_in(factories.member("province", province="31"))
    assert other_province.get(f"/attestations/{issued.id}.pdf").status_code == 404
    assert (
        sign_in(factories.member("auditor")).get(f"/attestations/{issued.id}.pdf").status_code
        == 403
    )


def test_a_download_of_a_certificate_is_on_record(sign_in, plant, issued):
    sign_in(factories.member(of=plant)).get(f"/attestations/{issued.id}.pdf")

    found = select(OperationLog).where(OperationLog.action == "attestation.download")
    assert db.session.scalars(found).one().subject == issued.number


def test_anybody_may_check_a_code(client, plant, issued):
    for typed in (issued.code, attestations.shown_code(issued.code).lower()):
        page = client.get(f"/verify/{typed}")
        assert page.status_code == 200
        for fact in (issued.number, plant.name, plant.uscc, "8,194,001,200", "PE2021000025"):
            assert fact in page.text
        assert "2023年度核定配额 &lt;b&gt;&amp;" in page.text


def test_a_lapsed_certificate_is_reported_as_lapsed(client, sign_in, plant):
    notice = factories.notice(plant, 5, by=factories.member("registry_maker"))
    found = _issue(plant, notice="LY2025000001", year=2025, obligation=8194001200)
    assert "已失效" not in client.get(f"/verify/{found.code}").text
    with transaction():
        attestations.lapse([notice], Actor.of(factories.member("registry_maker")), clock.now())

    page = client.get(f"/verify/{found.code}")

    assert page.status_code == 200
    assert "该证明已失效" in page.text
    assert "校验码有效" not in page.text
    assert re.search(r"失效日期.{,80}2026-11-20", page.text, re.DOTALL)
    with sign_in(factories.member(of=plant)).get(f"/attestations/{found.id}.pdf") as answer:
        assert "已失效" in words(answer.data)
        assert "自2026年11月20日起不再有效" in words(answer.data)


def test_a_stranger_sees_nothing_personal(client, issued):
    page = client.get(f"/verify/{issued.code}").text

    assert REASON not in page
    assert "张三" not in page
    assert "ZX202611200000123" not in page


def test_an_unknown_code_is_said_to_be_unknown(client, issued):
    other = "3" if issued.code[0] != "3" else "4"
    for typed in (other + issued.code[1:], "X", "<script>alert(1)</script>", "%25", "..%2f.."):
        page = client.get(f"/verify/{typed}")
        assert page.status_code == 404
        assert issued.number not in page.text
        assert "<script>alert" not in page.text


def test_the_form_leads_to_the_codes_own_address(client, issued):
    assert client.get("/verify/").status_code == 200
    answer = client.get("/verify/", query_string={"code": f" {issued.code} "})

    assert answer.headers["Location"] == f"/verify/{issued.code}"


def test_too_many_checks_from_one_address_are_refused(client, issued, monkeypatch):
    monkeypatch.setattr(attestation._limit, "most", 3)
    codes = [client.get(f"/verify/{issued.code}").status_code for _ in range(5)]

    assert codes == [200, 200, 200, 429, 429]


def test_the_rate_limit_forgets_old_addresses():
    limit = RateLimit(most=1)
    limit.KEPT = 5
    for number in range(50):
        assert limit.allows(f"192.0.2.{number}")

    assert len(limit._seen) == 5
    assert not limit.allows("192.0.2.49")


# The registry's seal


@pytest.fixture
def sealed(app, signing, plant, monkeypatch):
    """An attestation as it is issued where certificates are asked for: under the seal."""
    found = _issue_sealed(app, plant, monkeypatch)
    assert found.seal
    return found


def _issue_sealed(app, plant, monkeypatch) -> Attestation:
    monkeypatch.setitem(app.config, "CERT_LOGIN", "agent")
    return _issue(plant, application="ZX202611200000123", reason=REASON)


def test_what_bears_the_seal_is_vouched_for(client, plant, sealed):
    page = client.get(f"/verify/{sealed.code}")

    assert page.status_code == 200
    assert plant.name in page.text


@pytest.mark.parametrize("seal", ["none", "another's", "of a key of one's own", "garbage"])
def test_a_row_forged_with_the_applications_password_is_not_vouched_for(
    app, client, plant, sealed, seal
):
    """Whoever stole it may add rows; the seal is the signing process's to put on."""
    content = {**sealed.content, "total": 9_000_000}
    forged = Attestation(
        number="ZXZM20261120999999", code="2" * 16, kind="compliance", account_id=plant.id,
        year=2024, content=content, issued_at=sealed.issued_at,
    )  # fmt: skip
    own = ec.generate_private_key(ec.SECP256R1())
    forged.seal = {
        "none": None,
        "another's": sealed.seal,
        "of a key of one's own": sign_with(own, canonical(attestations._sealed_content(forged))),
        "garbage": b"\x30\x00",
    }[seal]
    with transaction():
        db.session.add(forged)

    page = client.get(f"/verify/{'2' * 16}")

    assert page.status_code == 404
    assert "登记系统不为该证明作证" in page.text
    assert plant.name not in page.text
    assert client.get(f"/verify/{sealed.code}").status_code == 200


def test_a_row_changed_by_a_superuser_is_not_vouched_for(client, sealed, cluster):
    with cluster.connect("registry") as connection:
        connection.execute("SET session_replication_role = replica")
        connection.execute(
            "UPDATE attestation SET content = jsonb_set(content, '{name}', '\"乙\"')"
        )

    assert client.get(f"/verify/{sealed.code}").status_code == 404


def test_without_the_signing_process_nothing_is_certified(app, plant, monkeypatch, tmp_path):
    monkeypatch.setitem(app.config, "CA_FOLDER", str(tmp_path))
    with pytest.raises(SignerAbsent):
        _issue_sealed(app, plant, monkeypatch)
    db.session.rollback()
    assert db.session.scalars(select(Attestation)).all() == []
