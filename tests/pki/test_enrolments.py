"""Whose signatures the signing process asks for before it certifies a person, and what it refuses."""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime, timedelta

import pytest
from cryptography import x509

from app.pki import ceremony
from app.pki.canonical import canonical
from app.pki.enrolments import APPOINT, ASK, CONFIRM
from app.pki.errors import PkiError, SignerFailed
from app.pki.journal import Journal
from app.pki.revocation import Revocation
from tests.pki.vouching import CODE, Vouchers, person
from tests.security.certified import Holder, InProcess, make_authority
from tests.security.certified import issue as made_elsewhere
from tests.signing import csr

MEMBER = "21042300007"
PLANT = person(MEMBER, "representative", "甲发电有限公司", MEMBER)
OPERATOR = person(f"{MEMBER}-01", "operator", "王小梅", MEMBER)
OFFICER = person("R0009", "staff", "王晴")


@pytest.fixture(scope="module")
def authority():
    return make_authority()


@pytest.fixture
def signer(authority, tmp_path):
    return InProcess(tmp_path, authority)


@pytest.fixture
def people(signer, tmp_path):
    return Vouchers(tmp_path, signer)


def refusal(act, *arguments) -> str:
    with pytest.raises(SignerFailed) as refused:
        act(*arguments)
    return refused.value.code


def entries(people) -> list[dict]:
    return list(Journal(people.folder).read())


def ended(signer, *holders: Holder, reason: str = "keyCompromise") -> None:
    """Publish a list with these certificates, and what was revoked before."""
    now = datetime.now(UTC)
    lines = [
        Revocation(int(serial, 16), at, "superseded") for serial, at in signer.revoked().items()
    ]
    serials = [x509.load_der_x509_certificate(each.der).serial_number for each in holders]
    lines += [Revocation(serial, now, reason) for serial in serials]
    signer.list_revoked(signer.journal()["crl"] + 1, lines)


def test_two_officers_certify_and_the_journal_says_who(people):
    people.certify(OFFICER)
    opened, issued = entries(people)[-2:]
    assert (opened["act"], opened["by"]) == ("open", ["T-SEC", "T-SYS"])
    assert (issued["act"], issued["member_no"], issued["kind"]) == ("issue", "R0009", "staff")


@pytest.mark.parametrize(
    "evidence",
    [{}, {"deeds": []}, {"opened_by": "R0001"}, {"bootstrap": ""}, {"bootstrap": "guess"}],
)
def test_an_enrolment_that_nobody_signed_is_refused(people, evidence):
    """What a row in the table, or a compromised web process, can say."""
    before = entries(people)
    assert refusal(people.certify, OFFICER, evidence) in ("unsigned", "bootstrap")
    assert entries(people) == before


@pytest.mark.parametrize("evidence", ["text", 5, {"deeds": [{}]}, {"deeds": "x"}, {"deeds": [5]}])
def test_evidence_of_no_form_is_refused(people, evidence):
    told = people.told(OFFICER)
    answer = people.signer._exchange(
        {"type": "open", "enrolment": told, "code": CODE, "evidence": evidence}
    )
    assert set(answer) == {"error"}


@pytest.mark.parametrize(
    ("about", "by"),
    [
        (OFFICER, ("T-R1", "T-R2")),  # officers do not certify their own kind
        (OFFICER, ("T-SEC", "T-R1")),
        (PLANT, ("T-SEC", "T-SYS")),
        (person("P42", "province"), ("T-R1", "T-R2")),
        (person("S0009", "system_admin"), ("T-R1", "T-SYS")),
    ],
)
def test_only_who_may_sign_for_a_kind_of_person_signs(people, about, by):
    assert refusal(people.certify, about, people.evidence(about, by)) == "not_entitled"


def test_one_person_is_not_two(people):
    twice = people.evidence(PLANT, ("T-R1", "T-R1"))
    assert refusal(people.certify, PLANT, twice) == "same_person"
    alone = {"deeds": [people.deed("T-SEC", ASK, OFFICER)]}
    assert refusal(people.certify, OFFICER, alone) == "unsigned"
    about_oneself = person("T-SYS", "system_admin")
    assert refusal(people.certify, about_oneself) == "same_person"


@pytest.mark.parametrize(
    "changed",
    [{"member_no": "R0001"}, {"name": "别人"}, {"kind": "security_admin"}, {"account": "1"}],
)
def test_what_was_signed_for_one_person_certifies_no_other(people, changed):
    evidence = people.evidence(OFFICER)
    assert refusal(people.certify, OFFICER | changed, evidence) == "other_content"


def test_a_confirmation_is_of_what_was_asked(people):
    (_asked, confirmed), (another, _other) = (
        people.evidence(OFFICER)["deeds"] for _each in range(2)
    )
    mixed = {"deeds": [another, confirmed]}
    assert refusal(people.certify, OFFICER, mixed) == "other_content"


def test_a_signature_counts_for_one_certificate(people):
    evidence = people.evidence(OFFICER)
    people.certify(OFFICER, evidence)
    assert refusal(people.certify, OFFICER, evidence) in ("evidence_used", "signed_at")


def test_an_older_signature_never_counts_again(people):
    """Kept back, and shown after the person was certified by others."""
    kept = {
        "deeds": [
            people.deed("T-SEC", ASK, OFFICER, at=datetime.now(UTC) - timedelta(minutes=1)),
        ]
    }
    digest = hashlib.sha256(kept["deeds"][0]["content"]).hexdigest()
    kept["deeds"].append(people.deed("T-SYS", CONFIRM, OFFICER, asked_sha256=digest))
    people.certify(OFFICER)
    assert refusal(people.certify, OFFICER, kept) == "signed_at"


def test_nothing_is_signed_for_later(people):
    ahead = datetime.now(UTC) + timedelta(days=1)
    early = {"deeds": [people.deed("T-SEC", ASK, OFFICER, at=ahead)] * 2}
    assert refusal(people.certify, OFFICER, early) == "signed_at"


@pytest.mark.parametrize("reason", ["keyCompromise", "certificateHold"])
def test_a_revoked_or_suspended_certificate_signs_for_nobody(people, signer, reason):
    evidence = people.evidence(OFFICER)
    ended(signer, people.holders["T-SEC"], reason=reason)
    assert refusal(people.certify, OFFICER, evidence) == "revoked"
    if reason == "certificateHold":
        ended(signer)  # Resumed.
        assert people.certify(OFFICER, evidence)


def test_codes_that_were_opened_end_with_who_signed_for_them(people, signer):
    told = people.told(OFFICER)
    signer.open(told, CODE, people.evidence(OFFICER))
    ended(signer, people.holders["T-SEC"])
    assert refusal(signer.issue, told["reference"], CODE, csr()) == "signer_gone"


def test_another_authoritys_and_an_unknown_certificate_sign_for_nobody(people, authority):
    """One of ours that the journal does not know was made with a stolen key."""
    for key in (made_elsewhere(make_authority(), "T-SEC"), made_elsewhere(authority, "T-SEC")):
        asked = people.deed("T-SEC", ASK, OFFICER, key)
        digest = hashlib.sha256(asked["content"]).hexdigest()
        deeds = [asked, people.deed("T-SYS", CONFIRM, OFFICER, asked_sha256=digest)]
        assert refusal(people.certify, OFFICER, {"deeds": deeds}) == "unknown_certificate"


def test_a_signature_of_other_content_or_by_another_key_is_refused(people):
    asked, confirmed = people.evidence(OFFICER)["deeds"]
    borrowed = confirmed | {"cms": asked["cms"]}
    assert refusal(people.certify, OFFICER, {"deeds": [asked, borrowed]})
    posing = people.deed("T-SEC", ASK, OFFICER, people.holders["T-R1"])
    assert refusal(people.certify, OFFICER, {"deeds": [posing, confirmed]}) == "other_content"
    for name in ("login", "submit", "review"):
        payload = {"schema": "act/1", "member_no": "T-SEC", "act": ASK,
                   "values": {"person": OFFICER}}  # fmt: skip
        other = people.signed(name, payload, people.holders["T-SEC"])
        assert refusal(people.certify, OFFICER, {"deeds": [other, confirmed]})


# A representative's operators


def test_a_representative_signs_for_a_first_operator_of_the_own_enterprise_alone(people):
    people.holders[MEMBER] = people.certify(PLANT)

    def by_the_representative(about):
        return {"deeds": [people.deed(MEMBER, APPOINT, about)]}

    people.certify(OPERATOR, by_the_representative(OPERATOR))
    foreign = person("21042300008-01", "operator", account="21042300008")
    for about in (foreign, OFFICER, OPERATOR | {"kind": "representative"},
                  foreign | {"account": MEMBER}):  # fmt: skip
        refused = refusal(people.certify, about, by_the_representative(about))
        assert refused == "not_entitled"
    assert refusal(people.certify, OPERATOR, by_the_representative(OPERATOR)) == (
        "second_certificate"
    )
    people.holders[OPERATOR["member_no"]] = people.certify(OPERATOR)
    colleague = person(f"{MEMBER}-02", "operator", account=MEMBER)
    by_an_operator = {"deeds": [people.deed(OPERATOR["member_no"], APPOINT, colleague)]}
    assert refusal(people.certify, colleague, by_an_operator) == "not_entitled"


# Applications: 开户 and 证书补办


def application(people, kind="account_opening", number="KH1", decision="approve", by=("T-R1", "T-R2"),
                account=MEMBER, **proposed):  # fmt: skip
    """Return the evidence of an application that two officers have signed."""
    proposal = canonical(proposed or {"name": ["", PLANT["name"]]})
    told = {"number": number, "kind": kind, "proposal_sha256": hashlib.sha256(proposal).hexdigest()}
    if kind == "certificate_replacement":
        told |= {"account": {"member_no": account}, "holder": proposed["member_no"]}
    content = canonical(told)
    item = {"number": number, "sha256": hashlib.sha256(content).hexdigest()}
    first, second = by
    submitted = {"schema": "submission/1", "member_no": first, "application": told}
    review = {"schema": "review/1", "member_no": second, "decision": decision, "items": [item]}
    return {
        "application": content,
        "proposal": proposal,
        "submitted": people.signed("submit", submitted, people.holders[first]),
        "approved": people.signed("review", review, people.holders[second]),
    }


def test_an_approved_opening_certifies_its_representative_once(people, signer):
    evidence = application(people)
    signer.open(people.told(PLANT), CODE, evidence)  # The letter was lost: sent again.
    people.certify(PLANT, evidence)
    for about in (PLANT, person("21042300009", "representative", PLANT["name"], "21042300009")):
        assert refusal(people.certify, about, evidence) in ("evidence_used", "signed_at")
    anew = application(people, number="KH2")
    assert refusal(people.certify, PLANT, anew) == "second_certificate"


@pytest.mark.parametrize(
    ("about", "changed"),
    [
        (OFFICER, {}),
        (PLANT | {"account": "21042300008"}, {}),
        (PLANT | {"name": "别的公司"}, {}),
        (person("S0001", "representative", PLANT["name"], "S0001"), {}),
        (PLANT, {"decision": "send_back"}),
        (PLANT, {"by": ("T-R1", "T-R1")}),
        (PLANT, {"by": ("T-SYS", "T-SEC")}),
        (PLANT, {"kind": "issuance"}),
        (PLANT, {"kind": "certificate_replacement", "member_no": "21042300008"}),
        (PLANT, {"kind": "certificate_replacement", "member_no": MEMBER, "account": "21042300008"}),
        (OFFICER, {"kind": "certificate_replacement", "member_no": "R0009"}),
    ],
)
def test_an_application_certifies_nobody_else(people, about, changed):
    assert refusal(people.certify, about, application(people, **changed)) in (
        "not_entitled", "other_content", "same_person"
    )  # fmt: skip


def test_a_replacement_ends_the_certificate_before(people):
    first = people.certify(PLANT)
    second = application(
        people, "certificate_replacement", "BZ1", member_no=MEMBER, certificate="1"
    )
    people.certify(PLANT, second)
    serial = x509.load_der_x509_certificate(first.der).serial_number
    assert entries(people)[-1]["revoked"] == [f"{serial:x}"]


def test_letters_of_an_opening_go_out_again_after_an_officers_certificate_has_ended(people, signer):
    evidence = application(people)
    signer.open(people.told(PLANT), CODE, evidence)
    ended(signer, people.holders["T-R1"])
    assert people.certify(PLANT, evidence)
    assert refusal(people.certify, PLANT, application(people, number="KH2")) == "revoked"


def test_an_opening_is_spent_on_no_number_of_another(people, signer):
    signer.open(people.told(PLANT), CODE, application(people))
    assert refusal(people.certify, PLANT, application(people, number="KH2")) == "second_certificate"
    assert people.certify(PLANT, application(people))


def test_a_suspended_certificate_is_not_renewed_by_itself(people, signer):
    holder = people.certify(OFFICER)
    serial = x509.load_der_x509_certificate(holder.der).serial_number
    number = signer.journal()["crl"] + 1
    signer.list_revoked(number, [Revocation(serial, datetime.now(UTC), "certificateHold")])
    request = csr()
    asked = {
        "schema": "certificate-renewal/1",
        "member_no": OFFICER["member_no"],
        "serial": f"{serial:x}",
        "request_sha256": hashlib.sha256(request).hexdigest(),
    }
    told = people.signed("renew", asked, holder)
    renewed = (holder.der, request, told["content"], told["cms"])
    assert refusal(signer.renew, *renewed) == "revoked"
    signer.list_revoked(number + 1, [])
    assert signer.renew(*renewed)


# The codes


def test_a_code_of_ones_own_leads_nowhere(people, signer):
    told = people.told(OFFICER)
    signer.open(told, CODE, people.evidence(OFFICER))
    issue = signer.issue
    assert refusal(issue, "1234567890", CODE, csr()) == "unknown_enrolment"
    for _try in range(5):
        assert refusal(issue, told["reference"], "2222222222", csr()) == "code"
    assert refusal(issue, told["reference"], CODE, csr()) == "locked"


def test_codes_sent_again_end_those_before(people, signer):
    first, second = people.told(OFFICER), people.told(OFFICER)
    signer.open(first, CODE, people.evidence(OFFICER))
    signer.open(second, CODE, people.evidence(OFFICER))
    assert refusal(signer.issue, first["reference"], CODE, csr()) == "unknown_enrolment"
    assert signer.issue(second["reference"], CODE, csr())


def test_codes_lapse_by_the_processs_own_clock(people, signer, monkeypatch):
    told = people.told(OFFICER)
    signer.open(told, CODE, people.evidence(OFFICER))
    later = datetime.now(UTC) + timedelta(days=15)
    monkeypatch.setattr(signer.acts, "_clock", lambda: later)
    assert refusal(signer.issue, told["reference"], CODE, csr()) == "lapsed"


def test_the_journal_keeps_no_code(people, signer):
    signer.open(people.told(OFFICER), CODE, people.evidence(OFFICER))
    assert CODE.encode() not in (people.folder / "journal").read_bytes()


# The bootstrap


def test_the_bootstrap_certifies_one_administrator_of_either_kind_and_closes(people):
    word = (people.folder / "bootstrap").read_text()
    acts = [entry["act"] for entry in entries(people)]
    assert acts[:5] == ["open", "issue", "open", "issue", "bootstrap_closed"]
    for kind in ("system_admin", "security_admin", "staff"):
        again = {"bootstrap": word}
        assert refusal(people.certify, person("X1", kind), again) == "bootstrap_closed"
    with pytest.raises(PkiError, match="have their certificates"):
        ceremony.make_bootstrap(people.folder)


def test_of_several_whom_the_bootstrap_opened_for_the_first_alone_is_certified(signer, tmp_path):
    evidence = {"bootstrap": ceremony.make_bootstrap(tmp_path)}
    for number in (1, 2):
        told = {"schema": "certificate-enrolment/2", "reference": f"000000000{number}",
                "assurance": "hard", **person(f"S000{number}", "system_admin")}  # fmt: skip
        signer.open(told, CODE, evidence)
    assert signer.issue("0000000001", CODE, csr())
    assert refusal(signer.issue, "0000000002", CODE, csr()) == "bootstrap_closed"


def test_the_bootstrap_certifies_no_officer(signer, tmp_path):
    word = ceremony.make_bootstrap(tmp_path)
    told = {
        "schema": "certificate-enrolment/2", "reference": "0000000001", "assurance": "hard", **OFFICER
    }  # fmt: skip
    assert refusal(signer.open, told, CODE, {"bootstrap": word}) == "bootstrap_closed"


# Lists


def test_a_list_that_leaves_out_what_is_revoked_is_not_made(people, signer):
    gone = people.certify(OFFICER)
    ended(signer, gone)
    number = signer.journal()["crl"] + 1
    serial = x509.load_der_x509_certificate(gone.der).serial_number
    held = Revocation(serial, datetime.now(UTC), "certificateHold")
    for lines in ([], [held]):
        assert refusal(signer.list_revoked, number, lines) == "incomplete"
    assert signer.list_revoked(number, [Revocation(serial, datetime.now(UTC), "superseded")])


def test_what_was_replaced_is_on_the_next_list(people, signer):
    people.certify(OFFICER)
    people.certify(OFFICER)
    assert refusal(signer.list_revoked, 1, []) == "incomplete"


def test_the_numbers_of_lists_rise(people, signer):
    signer.list_revoked(7, [])
    for number in (7, 6, 1):
        assert refusal(signer.list_revoked, number, []) == "number"
    assert signer.list_revoked(8, [])
    assert refusal(signer.list_revoked, 2**53 - 1, []) == "number"  # Nobody could go on from there.
    assert signer.list_revoked(9, [])


def test_all_of_it_is_remembered(people, authority):
    """After a restart: who is what, what is spent, what is opened, which number was the last."""
    evidence = people.evidence(OFFICER)
    people.certify(OFFICER, evidence)
    told = people.told(PLANT)
    people.signer.open(told, CODE, people.evidence(PLANT))
    people.signer.list_revoked(5, [])
    people.signer = InProcess(people.folder, authority)
    assert refusal(people.certify, OFFICER, evidence) in ("evidence_used", "signed_at")
    assert people.signer.issue(told["reference"], CODE, csr())
    assert people.signer.journal()["crl"] == 5
    assert people.certify(person("P42", "province"))
