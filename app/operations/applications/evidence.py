"""Signed content of applications and reviews, and the folder for an auditor to verify it.

The content of an application is composed from its rows, in canonical form (app/pki/canonical.py).
The applicant signs it on submission; bulk submissions and all reviews sign a manifest of numbers
and digests of contents (docs/adr/0019).
"""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence, Set
from dataclasses import dataclass
from datetime import UTC
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from flask_babel import gettext as _
from sqlalchemy import BigInteger, String, select, text

from app.domain.errors import NotFound
from app.domain.kinds import KINDS
from app.domain.workflow import Action
from app.extensions import db
from app.models import (
    Application,
    ApplicationEvent,
    Certificate,
    ImportFile,
    RevocationList,
    Signature,
    SignatureEvent,
)
from app.operations.people import certificates, signatures
from app.operations.records.actor import Actor
from app.operations.records.columns import typed
from app.pki.canonical import canonical, one_line, parse
from app.pki.errors import PkiError

SUBMISSION, SUBMISSIONS, REVIEW = "submission/1", "submissions/1", "review/1"
WITHDRAWAL = "withdrawal/1"
# What machines do, unsigned; the database has the same (sql/0038/signed.sql).
MACHINE_ACTS = [f"{kind.code}:{act}" for kind in KINDS.values() for act in kind.machine_acts]


@dataclass(frozen=True, slots=True)
class Content:
    """An application's content: ``values`` and their canonical form ``text``."""

    values: dict[str, Any]
    text: bytes

    @property
    def item(self) -> dict[str, str]:
        """Return its item in a manifest."""
        return {
            "number": self.values["number"],
            "sha256": hashlib.sha256(self.text).hexdigest(),
        }


def submission(found: Mapping[int, Content], actor: Actor) -> dict[str, Any]:
    """Return the payload for 提交 of one application."""
    (content,) = found.values()
    return {"schema": SUBMISSION, **_person(actor), "application": content.values}


def submissions(found: Mapping[int, Content], actor: Actor) -> dict[str, Any]:
    """Return the payload for 提交 of many of one kind: a manifest with totals.

    It names no enterprise, since it is part of each one's evidence.
    """
    (kind,) = {content.values["kind"] for content in found.values()}
    summed = {
        "enterprises": len({content.values["account"]["member_no"] for content in found.values()}),
        "lines": _summed(line for each in found.values() for line in each.values.get("lines", ())),
        "total": str(sum(int(content.values.get("total", 0)) for content in found.values())),
    }
    return {
        "schema": SUBMISSIONS,
        **_person(actor),
        "kind": kind,
        **(summed if summed["lines"] else {}),
        **_notices(found),
        **_import_files(found),
        **_items(found),
    }


def review(
    found: Mapping[int, Content], decision: str, comment: str, actor: Actor
) -> dict[str, Any]:
    """Return the payload for 通过 or 退回: one manifest for any number of applications."""
    return {
        "schema": REVIEW,
        **_person(actor),
        "decision": decision,
        "comment": one_line(comment),
        **_items(found),
    }


def withdrawal(found: Mapping[int, Content], actor: Actor) -> dict[str, Any]:
    """Return the payload for 撤回: one manifest for any number of applications."""
    return {"schema": WITHDRAWAL, **_person(actor), **_items(found)}


def contents(ids: Sequence[int]) -> dict[int, Content]:
    """Return the content of applications by id, in one statement; empty values are left out.

    Quantities are strings of decimal digits, in tonnes, amounts of money in yuan with two decimals;
    personal data are replaced by digests.
    """
    found = {}
    for row in db.session.execute(_CONTENTS, {"ids": list(ids)}):
        values = _plain(row.content)
        found[row.id] = Content(values, canonical(values))
    return found


def _items(found: Mapping[int, Content]) -> dict[str, Any]:
    return {"count": len(found), "items": [found[id_].item for id_ in sorted(found)]}


def _notices(found: Mapping[int, Content]) -> dict[str, Any]:
    """Total what the decisions make of notices: their number, and tonnes before and after."""
    terms = [each.values["terms"] for each in found.values() if "terms" in each.values]
    if not terms:
        return {}
    tonnes = {
        side: str(sum(int(each.get(side, {}).get("obligation", 0)) for each in terms))
        for side in ("before", "after")
    }
    return {"notices": {"count": len(terms), **tonnes}}


def _summed(lines: Iterable[Mapping[str, str]]) -> list[dict[str, str]]:
    """Total the lines by instrument."""
    names: dict[str, str] = {}
    tonnes: Counter[str] = Counter()
    for line in lines:
        names[line["code"]] = line["name"]
        tonnes[line["code"]] += int(line["quantity"])
    return [
        {"code": code, "name": names[code], "quantity": str(tonnes[code])} for code in sorted(names)
    ]


def _import_files(ids: Iterable[int]) -> dict[str, Any]:
    """Return the names of the applications' imported files."""
    rows = db.session.execute(
        select(ImportFile.id, ImportFile.name, ImportFile.sha256)
        .where(
            ImportFile.id.in_(select(Application.import_id).where(Application.id.in_(list(ids))))
        )
        .order_by(ImportFile.id)
    )
    files = [
        {"batch": str(row.id), "name": one_line(row.name), "sha256": row.sha256} for row in rows
    ]
    return {"files": files} if files else {}


def keep(
    certificate: Certificate,
    content: bytes,
    cms: bytes,
    *,
    purpose: str,
    signed_at: Any,
) -> int:
    """Store a verified signature and return its id; `cover` binds it to events."""
    return certificates.keep_signature(
        certificate, content, cms, purpose=purpose, signed_at=signed_at
    ).id


def cover(
    signature_id: int, found: Mapping[int, Content], ids: Sequence[int], actor: Actor
) -> None:
    """Bind a signature to the actor's last event of each application, in the act's transaction.

    The signed content is stored with it, since later acts may change the application's content,
    e.g. by renaming the enterprise.
    """
    values = {
        "signature": signature_id,
        "ids": list(ids),
        "contents": [found[id_].text.decode() for id_ in ids],
        "member": actor.member_id,
    }
    db.session.execute(_COVER, values)


def as_signed(signature_id: int, ids: Sequence[int]) -> dict[int, Content]:
    """Return the contents of those applications that still match the signed manifest.

    Left out are those that the signature covers already: it decides on each once.
    """
    signed = parse(db.session.get_one(Signature, signature_id).content)["payload"]["items"]
    digests = {item["number"]: item["sha256"] for item in signed}
    covered = set(
        db.session.scalars(
            select(ApplicationEvent.application_id)
            .join(SignatureEvent, SignatureEvent.application_event_id == ApplicationEvent.id)
            .where(SignatureEvent.signature_id == signature_id)
        )
    )
    return {
        id_: content
        for id_, content in contents(ids).items()
        if id_ not in covered and digests.get(content.values["number"]) == content.item["sha256"]
    }


def unfit(ids: Sequence[int], certifying: Set[int]) -> tuple[set[int], set[int]]:
    """Return the applications altered since their last submission was signed, and those that lapsed.

    Altered: the content differs, or the signature is not valid.  Names are ignored, since enterprises
    may be renamed, and so are unsigned submissions.  Lapsed, of those ``certifying``: the submission
    certifies nobody any more, for which the signing process takes it to the letter, by a certificate
    that stands.
    """
    signed = {row.id: row for row in db.session.execute(_SUBMITTED, {"ids": list(ids)})}
    if not signed:
        return set(), set()
    now = {id_: content.text.decode() for id_, content in contents(list(signed)).items()}
    forged = _invalid({row.signature_id for row in signed.values()})
    altered = {
        id_
        for id_, text_ in now.items()
        if signed[id_].signature_id in forged or not alike(text_, signed[id_].content)
    }
    asked = certifying & now.keys()
    standing = _by_standing_certificates({signed[id_].signature_id for id_ in asked})
    lapsed = {
        id_
        for id_ in asked
        if signed[id_].signature_id not in standing or now[id_] != signed[id_].content
    }
    return altered, lapsed


def _by_standing_certificates(ids: set[int]) -> set[int]:
    """Return those of the signatures whose certificate is neither suspended nor revoked."""
    if not ids:
        return set()
    found = select(Signature.id).join(Certificate).where(Certificate.state == "active")
    return set(db.session.scalars(found.where(Signature.id.in_(ids))))


def _invalid(ids: set[int]) -> set[int]:
    """Return the signatures, by id, that do not hold."""
    found: set[int] = set()
    lists: signatures.Lists = {}
    for row in db.session.scalars(select(Signature).where(Signature.id.in_(ids))):
        try:
            signatures.require_valid(row, lists)
        except PkiError:
            found.add(row.id)
    return found


def alike(one: str, other: str) -> bool:
    """Compare two contents without names, like `alike` in the auditor's script."""
    return one == other or _NAMES.sub("", one) == _NAMES.sub("", other)


def _person(actor: Actor) -> dict[str, str]:
    return {"member_no": actor.member_no, "member_name": one_line(actor.name)}


def _plain(value: Any) -> Any:
    """Normalise texts for signing, and leave out empty values."""
    if isinstance(value, str):
        return one_line(value)
    if isinstance(value, dict):
        found = {key: _plain(item) for key, item in value.items()}
        return {key: item for key, item in found.items() if item not in (None, "", [], {})}
    if isinstance(value, list):
        return [_plain(item) for item in value]
    return value


# The auditor's folder ------------------------------------------------------------------------


def export(number: str, folder: Path) -> list[Path]:
    """Write the files to verify an application's signatures with openssl alone.

    The list of its events; for each signature the signed content, the signature, its certificate and
    revocation list, and the application's content then; the authority's chain, and a script, which
    fails where an event lacks its signature.  Raises NotFound.
    """
    application = db.session.scalar(select(Application).where(Application.number == number))
    if application is None:
        raise NotFound(_("There is no application %(number)s", number=number))
    readme = _README.format(number=number).encode()
    files = {"chain.pem": certificates.the_authority().chain(), "说明.txt": readme}
    checks: list[str] = []
    steps: list[str] = []
    said, signed = "", 0
    for event in db.session.execute(_EVENTS, {"application": application.id}):
        name = "-"
        if event.signature_id is not None:
            signed += 1
            name, before = f"{signed:02d}-{event.action}", said
            signature = db.session.get_one(Signature, event.signature_id)
            files |= _files_of(signature, name)
            if not said or files[said] != event.content.encode():
                said = f"{name}.application.json"
                files[said] = event.content.encode()
            checks.append(_command(signature, name, said, number))
            if event.action != Action.SUBMIT and before not in ("", said):
                checks.append(f"alike '{said}' '{before}'")
        steps.append(f"{event.action} {event.member_no or '-'} {event.kind} {name} {event.at}")
    return _write(files, checks, steps, folder)


def export_deeds(serial: str, folder: Path) -> list[Path]:
    """Write the files to verify who had a certificate issued, suspended, resumed and revoked.

    As `export` does.  Raises NotFound for a serial number, in hex, that no certificate has.
    """
    made = select(Certificate).where(Certificate.serial == serial.lower())
    certificate = db.session.scalar(made)
    if certificate is None:
        raise NotFound(_("There is no certificate %(serial)s", serial=serial))
    readme = _README_OF_DEEDS.format(serial=serial.upper()).encode()
    files = {"chain.pem": certificates.the_authority().chain(), "说明.txt": readme}
    checks: list[str] = []
    steps: list[str] = []
    for place, deed in enumerate(db.session.execute(_DEEDS, {"id": certificate.id}), start=1):
        name, action = "-", deed.action
        if deed.signature_id is not None:
            signature = db.session.get_one(Signature, deed.signature_id)
            signed = parse(signature.content)
            action = signed["payload"].get("act") or signed["payload"].get("decision", "submit")
            name = f"{place:02d}-{action}"
            files |= _files_of(signature, name)
            checks.append(_signed_at(signature, name))
            if signed["type"] == "act":
                checks.append(f"about '{name}' '{certificate.member.username}'")
        kind = "signed" if deed.signature_id is not None else deed.kind
        steps.append(f"{action} {deed.member_no or '-'} {kind} {name} {deed.at}")
    return _write(files, checks, steps, folder)


def _write(
    files: dict[str, bytes], checks: Sequence[str], steps: Sequence[str], folder: Path
) -> list[Path]:
    """Write an auditor's folder: the files, the list of steps, and the script that verifies both."""
    files["events.txt"] = "".join(f"{step}\n" for step in steps).encode()
    same = [f"same '{name}' {hashlib.sha256(files[name]).hexdigest()}" for name in sorted(files)]
    lines = [_SCRIPT, *same, *(checks or ["wrong '没有签名'"]), _LAST]
    files["verify.sh"] = "\n".join(lines).encode()
    folder.mkdir(parents=True, exist_ok=True)
    for name, whole in files.items():
        (folder / name).write_bytes(whole)
    return sorted(folder / name for name in files)


def _files_of(signature: Signature, name: str) -> dict[str, bytes]:
    certificate = x509.load_der_x509_certificate(signature.certificate.der)
    listed = db.session.get_one(RevocationList, signature.crl_number)
    crl = x509.load_der_x509_crl(listed.der)
    return {
        f"{name}.json": signature.content,
        f"{name}.p7s": signature.cms,
        f"{name}.certificate.pem": certificate.public_bytes(Encoding.PEM),
        f"{name}.crl.pem": crl.public_bytes(Encoding.PEM),
    }


def _command(signature: Signature, name: str, said: str, number: str) -> str:
    is_whole = parse(signature.content)["payload"]["schema"] == SUBMISSION
    about = f"whole '{name}' '{said}'" if is_whole else f"named '{name}' '{said}' {number}"
    return f"{_signed_at(signature, name)}\n{about}"


def _signed_at(signature: Signature, name: str) -> str:
    at = signature.recorded_at.astimezone(UTC)
    return f"signed '{name}' {signature.suite} {int(at.timestamp())} {at:%y%m%d%H%M%SZ}"


_SCRIPT = r"""#!/bin/sh
# 用 openssl 逐一验证本文件夹中的签名，无需联网。Verifies every signature in this folder.
cd "$(dirname "$0")" || exit 2
export LC_ALL=C
failed=0
wrong() { echo "FAILED $1"; failed=1; }
digest() { openssl dgst -sha256 -r | cut -c1-64; }

# same FILE DIGEST: 文件与导出时相同
same() { [ "$(digest < "$1")" = "$2" ] || wrong "$1"; }

# signed NAME SUITE AT TIME: 签名在当时有效，签名人即内容所载会员
signed() {
    "$2" "$1" "$3" "$4" || wrong "$1.p7s"
    member=$(openssl x509 -in "$1.certificate.pem" -noout -ext subjectAltName |
        sed -n 's/.*URI:urn:crs:member:\([^, ]*\).*/\1/p')
    grep -qF "\"member_no\":\"$member\",\"schema\":" "$1.json" || wrong "$1.certificate.pem"
}

# intl NAME AT: RSA、ECDSA
intl() {
    cat chain.pem "$1.crl.pem" > "$1.trust.pem"
    openssl cms -verify -inform DER -in "$1.p7s" -content "$1.json" -binary -nointern \
        -certfile "$1.certificate.pem" -CAfile "$1.trust.pem" -crl_check -purpose any \
        -attime "$2" -out /dev/null
}

# gm NAME AT TIME: SM2。openssl 3 的 cms 不验证 SM2，因此逐项验证：证书链、吊销列表、签名、内容的摘要
user=distid:1234567812345678
sm2() {
    openssl pkeyutl -verify -rawin -digest sm3 -pkeyopt "$user" -certin -inkey "$1" -in "$2" \
        -sigfile "$3" > gm.said
}
tree() { openssl asn1parse -inform DER -in "$1"; }
part() { openssl asn1parse -inform DER -in "$1" -strparse "$2" -noout -out "$3"; }
place() { sed -n "$1s/:.*//p" | tail -1 | tr -d ' '; }
gm() {
    serial=$(openssl x509 -in "$1.certificate.pem" -noout -serial | cut -d= -f2)
    openssl x509 -in chain.pem -out gm.issuing &&
        openssl verify -vfyopt "$user" -CAfile chain.pem -attime "$2" gm.issuing > gm.said &&
        openssl verify -vfyopt "$user" -partial_chain -trusted gm.issuing -purpose any \
            -attime "$2" "$1.certificate.pem" > gm.said &&
        openssl crl -in "$1.crl.pem" -outform DER -out gm.crl && tree gm.crl > gm.tree &&
        part gm.crl "$(place 2 < gm.tree)" gm.data &&
        part gm.crl "$(place '$' < gm.tree)" gm.signature &&
        sm2 gm.issuing gm.data gm.signature &&
        set -- "$@" $(sed -n 's/.*UTCTIME *://p' gm.tree | head -2) &&
        printf '%s\n' "$4" "$3" "$5" | sort -c &&
        openssl crl -in "$1.crl.pem" -noout -text > gm.list && [ -n "$serial" ] &&
        ! grep -q "Serial Number: $serial\$" gm.list &&
        tree "$1.p7s" > gm.tree &&
        part "$1.p7s" "$(place '/d=5 .*cont \[ 0 \]/' < gm.tree)" gm.tagged &&
        part "$1.p7s" "$(place '$' < gm.tree)" gm.signature &&
        { printf '\061' && tail -c +2 gm.tagged; } > gm.data &&
        sm2 "$1.certificate.pem" gm.data gm.signature &&
        tree gm.data > gm.tree &&
        [ "$(sed -n 's/.*OCTET STRING *\[HEX DUMP\]://p' gm.tree | tr A-F a-f)" = \
            "$(openssl dgst -sm3 -r < "$1.json" | cut -c1-64)" ]
}

# whole NAME FILE: 申请人签署的业务内容即该文件
whole() {
    content=$(sed -e 's/^[^{]*{[^{]*{"application"://' -e 's/\(.*\),"member_name":.*/\1/' "$1.json")
    [ "$(printf '%s' "$content" | digest)" = "$(digest < "$2")" ] || wrong "$2"
}

# alike FILE BEFORE: 审核的内容与此前提交的相同，名称除外（企业可能已更名）
unnamed() { sed -E 's/"[a-z_]*name":"([^"\\]|\\.)*"//g' "$1" | digest; }
alike() { [ "$(unnamed "$1")" = "$(unnamed "$2")" ] || wrong "$1 $2"; }

# steps: events.txt 所列的每一步（保存、删除草稿和交易系统的除外）都有签名，签名的动作和会员即所列
older=0
steps() {
    while read -r action member kind name at; do
        case "$kind" in
            signed) done_by "$action" "$member" "$name" ;;
            none) case "$action" in save | discard) ;; *) wrong "$action $at 没有签名" ;; esac ;;
            machine)
                case "$action" in
                    save | submit | refuse | approve | send_back) ;; *) wrong "$action $at" ;;
                esac ;;
            older) older=$((older + 1)) ;;
            *) wrong "$action $at 没有签名" ;;
        esac
    done < events.txt
}
done_by() {
    case "$1" in
        submit | withdraw) said="\"type\":\"$1\"" ;;
        certificate.* | operator.*) said="\"act\":\"$1\"" ;;
        *) said="\"decision\":\"$1\"" ;;
    esac
    grep -qF "$said" "$3.json" && grep -qF "\"member_no\":\"$2\",\"schema\":" "$3.json" &&
        [ -s "$3.p7s" ] || wrong "$3 $1"
}

# about NAME MEMBER: 所签事项的证书持有人即该会员
about() { grep -qF "\"member_no\":\"$2\",\"name\":" "$1.json" || wrong "$1.json"; }

# named NAME FILE NUMBER: 签署的清单载有该文件的摘要
named() {
    grep -qF "{\"number\":\"$3\",\"sha256\":\"$(digest < "$2")\"}" "$1.json" || wrong "$1.json $2"
}
"""
_LAST = """steps
rm -f gm.*
[ "$failed" = 0 ] || { echo "FAILED 验证未通过"; exit 1; }
[ "$older" = 0 ] || echo "NOTE $older 步办理于启用签名之前，没有签名"
echo "OK 全部签名有效"
"""
_README = """申请编号：{number}

本文件夹供审计人员离线核验，只需 openssl：

    sh verify.sh

events.txt                  该业务的每一步：动作、会员编号、签名、文件、时间
NN-submit.json              申请人签署的内容：payload.application 即业务内容；批量提交的为一份清单
NN-approve.json 等          审核人签署的清单，items 中的 sha256 为业务内容的摘要
NN-….application.json       签署时的业务内容（规范格式）；与前一次签署时相同的不另列
NN-….p7s                    签名（CMS，分离式）
NN-….certificate.pem        签名证书
NN-….crl.pem                签名时的证书吊销列表
chain.pem                   签发机构证书链（请与公布的根证书指纹核对）
"""

_README_OF_DEEDS = """证书序列号：{serial}

本文件夹供审计人员离线核验这张证书由谁申请、确认，由谁挂起、恢复、吊销，只需 openssl：

    sh verify.sh

events.txt                  每一步：事项、会员编号、签名、文件、时间
NN-….json                   签署的内容（账户代表的首张证书为开户申请的提交与审核）
NN-….p7s                    签名（CMS，分离式）
NN-….certificate.pem        签名证书
NN-….crl.pem                签名时的证书吊销列表
chain.pem                   签发机构证书链（请与公布的根证书指纹核对）
"""

# What led to a certificate, and what became of it; the bootstrap (nobody) and what followed from
# another act (no remark) are not signed.
_DEEDS = text(
    """
    SELECT action, member_no, signature_id, kind,
           to_char(at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS"Z"') AS at
      FROM (SELECT 0 AS place, e.opened_at AS at, s.id AS signature_id, m.username AS member_no,
                   'certificate.ask' AS action,
                   CASE WHEN m.id IS NULL THEN 'older' ELSE '-' END AS kind
              FROM certificate c JOIN certificate_enrolment e ON e.id = c.enrolment_id
              LEFT JOIN ab_user m ON m.id = e.opened_by
              LEFT JOIN signature s ON s.id = e.signature_id
             WHERE c.id = :id
            UNION ALL
            SELECT 1, e.opened_at, e.confirming_signature_id, m.username, 'certificate.confirm', '-'
              FROM certificate c JOIN certificate_enrolment e ON e.id = c.enrolment_id
              JOIN ab_user m ON m.id = e.confirmed_by
             WHERE c.id = :id
            UNION ALL
            SELECT 1 + l.id, l.at, (l.detail ->> 'signature')::bigint, l.member_no, l.action, '-'
              FROM certificate c JOIN operation_log l ON l.subject = c.serial
             WHERE c.id = :id AND l.detail ? 'remark'
               AND l.action IN ('certificate.suspend', 'certificate.resume', 'certificate.revoke')
           ) AS deed
     ORDER BY place
    """
)


_CONTENTS = typed(
    """
    SELECT a.id, json_build_object(
             'number', a.number, 'kind', a.kind,
             'account', json_build_object('member_no', c.member_no, 'name', c.name),
             'reason', a.reason, 'category', a.category, 'document_no', a.document_no,
             'authority', a.authority, 'starts_on', a.starts_on, 'ends_on', a.ends_on,
             'notice', (SELECT n.number FROM notice n WHERE n.id = a.notice_id),
             'terms', CASE WHEN a.kind IN ('notice', 'trade_settlement', 'settlement_objection',
                                            'difference_resolution', 'bank_difference',
                                            'default_cover', 'reserve_provision', 'class_rule',
                                            'account_succession', 'instrument_retirement',
                                            'figure_table', 'revocation')
                           THEN a.proposal END,
             'list', CASE WHEN starts_with(a.kind, 'differentiation') THEN a.proposal END,
             'also_for', CASE WHEN a.kind IN ('surrender', 'assisted_surrender', 'pledge_surrender',
                                              'court_surrender')
                              THEN a.proposal ->> 'also_for' END,
             'plan', CASE WHEN a.kind = 'plan' THEN a.proposal END,
             'carry_over', CASE WHEN starts_with(a.kind, 'carry_over') THEN a.proposal END,
             'machine', CASE WHEN a.kind IN ('machine_key', 'machine_key_revocation')
                             THEN a.proposal END,
             'bank', CASE WHEN a.kind IN ('deposit', 'withdrawal', 'bank_binding')
                          THEN a.proposal - 'account_no' - 'binding' END,
             'court', CASE WHEN starts_with(a.kind, 'court_')
                           THEN a.proposal - 'instrument' - 'order' - 'sale'
                                - CASE WHEN a.proposal ? 'currency' THEN 'quantity' ELSE '' END END,
             'offset', CASE WHEN a.kind = 'offset' OR starts_with(a.kind, 'offset_binding')
                            THEN a.proposal - 'binding' END,
             'pledge', CASE WHEN a.kind IN ('pledge', 'pledge_note') THEN a.proposal END,
             'holder', CASE WHEN a.kind = 'certificate_replacement'
                            THEN a.proposal ->> 'member_no' END,
             'receivers', (SELECT json_agg(r.member_no ORDER BY r.member_no)
                             FROM application_party p JOIN account r ON r.id = p.account_id
                            WHERE p.application_id = a.id
                              AND NOT EXISTS (SELECT FROM application_line x
                                               WHERE x.application_id = a.id
                                                 AND x.account_id IS NOT NULL)),
             'lines', (SELECT json_agg(json_build_object(
                                'code', i.code, 'name', i.name,
                                'quantity', CASE WHEN i.kind <> 'money' THEN l.quantity::text END,
                                'amount', CASE WHEN i.kind = 'money'
                                               THEN to_char(l.quantity / 100.0, 'FM999999999999990.00') END,
                                'currency', CASE WHEN i.kind = 'money' THEN 'CNY' END,
                                'venue', v.name,
                                'receiver', CASE WHEN i.kind <> 'money' THEN r.member_no END,
                                'receiver_name', CASE WHEN i.kind <> 'money' THEN r.name END,
                                'drawn_from', s.number) ORDER BY l.id)
                         FROM application_line l
                         JOIN instrument i ON i.id = l.instrument_id
                         LEFT JOIN venue v ON v.id = l.venue_id
                         LEFT JOIN account r ON r.id = l.account_id
                         LEFT JOIN application_line sl ON sl.id = l.source_line_id
                         LEFT JOIN application s ON s.id = sl.application_id
                        WHERE l.application_id = a.id),
             'total', (SELECT sum(l.quantity)::text FROM application_line l
                         JOIN instrument i ON i.id = l.instrument_id
                        WHERE l.application_id = a.id AND i.kind <> 'money'),
             'total_amount', (SELECT to_char(sum(l.quantity) / 100.0, 'FM999999999999990.00')
                                FROM application_line l
                                JOIN instrument i ON i.id = l.instrument_id
                               WHERE l.application_id = a.id AND i.kind = 'money'),
             'proposal_sha256', CASE WHEN a.proposal <> '{}'
                THEN encode(sha256(convert_to(a.proposal::text, 'UTF8')), 'hex') END,
             'attachments', (SELECT json_agg(json_build_object('name', t.name, 'sha256', t.sha256)
                                             ORDER BY t.id)
                               FROM attachment t WHERE t.application_id = a.id)) AS content
      FROM application a JOIN account c ON c.id = a.account_id
     WHERE a.id = ANY(:ids)
    """,
    ids=BigInteger,
)

_NAMES = re.compile(r'"[a-z_]*name":"(?:[^"\\]|\\.)*"')
_SUBMITTED = typed(
    """
    SELECT e.application_id AS id, s.content, s.signature_id
      FROM (SELECT application_id, max(id) AS id FROM application_event
             WHERE application_id = ANY(:ids) AND action = 'submit' GROUP BY application_id) e
      JOIN signature_event s ON s.application_event_id = e.id
    """,
    ids=BigInteger,
)

# An event of a person without a signature is older than signing here, or has none to have.
_EVENTS = text(
    """
    SELECT e.id, e.action, m.username AS member_no, x.signature_id, x.content,
           to_char(e.at AT TIME ZONE 'Asia/Shanghai', 'YYYY-MM-DD"T"HH24:MI:SS') AS at,
           CASE WHEN x.signature_id IS NOT NULL THEN 'signed'
                WHEN e.action IN ('save', 'discard') THEN 'none'
                WHEN o.signs IS NOT TRUE THEN 'older'
                WHEN e.member_id IS NULL AND a.kind || ':' || e.action = ANY(:machine)
                  THEN 'machine'
                ELSE 'missing' END AS kind
      FROM application_event e
      JOIN application a ON a.id = e.application_id
      LEFT JOIN ab_user m ON m.id = e.member_id
      LEFT JOIN signature_event x ON x.application_event_id = e.id
      LEFT JOIN LATERAL (SELECT signs FROM operating_mode WHERE after_event < e.id
                          ORDER BY id DESC LIMIT 1) AS o ON true
     WHERE e.application_id = :application ORDER BY e.id
    """
).bindparams(machine=MACHINE_ACTS)

_COVER = typed(
    """
    INSERT INTO signature_event (application_event_id, signature_id, content)
    SELECT (SELECT max(e.id) FROM application_event e
             WHERE e.application_id = w.id AND e.member_id = :member), :signature, w.content
      FROM unnest(:ids, :contents) AS w (id, content)
    """,
    ids=BigInteger,
    contents=String,
)
