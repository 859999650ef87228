"""Keys of machine clients: reading a typed public key, and what approved applications make of them."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime
from typing import Any

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    PublicFormat,
    load_pem_public_key,
)
from flask_babel import gettext as _
from joserfc import jwk
from joserfc.errors import JoseError
from sqlalchemy import BigInteger
from sqlalchemy.exc import IntegrityError

from app.domain.errors import RuleError
from app.domain.machines import ALGORITHMS, KEY_ID
from app.domain.workflow import Case
from app.extensions import db, violated
from app.operations.records.actor import Actor
from app.operations.records.columns import typed

LONGEST_KEY = 4000  # characters; an RSA key of 4,096 bits has about 750
RSA_BITS = range(2048, 4097)
_CURVES = {"EC": "P-256", "OKP": "Ed25519"}
_PARTS = {"EC": ("crv", "x", "y"), "OKP": ("crv", "x"), "RSA": ("n", "e")}
_PRIVATE = {"d", "p", "q", "dp", "dq", "qi", "oth", "k"}


def read_key(typed_key: str) -> dict[str, Any]:
    """Return kid, thumbprint and public members of a key, typed as JWK (RFC 7517) or PEM (RFC 7468).

    Without a ``kid`` its thumbprint (RFC 7638) takes its place.  Raises RuleError for the field ``jwk``:
    neither of both, a private or symmetric key, another type or size than machines may sign with.
    """
    found = _parsed(typed_key)
    if _PRIVATE & found.keys():
        raise _private()
    kind = found.get("kty")
    if not isinstance(kind, str) or kind not in ALGORITHMS:
        raise _wrong(_("A key is of type EC (P-256), OKP (Ed25519) or RSA (2048 to 4096 bits)"))
    public = {"kty": kind, **{name: found.get(name) for name in _PARTS[kind]}}
    key = _imported(public)
    kid = found.get("kid") or key.thumbprint()
    if not isinstance(kid, str) or not KEY_ID.fullmatch(kid):
        raise _wrong(_("The kid has 1 to 64 letters, digits, dots, hyphens and underscores"))
    return {"kid": kid, "thumbprint": key.thumbprint(), "jwk": public}


def _parsed(typed_key: str) -> Mapping[str, Any]:
    if len(typed_key) > LONGEST_KEY:
        raise _wrong(_("This is longer than %(most)d characters", most=LONGEST_KEY))
    if typed_key.lstrip().startswith("-----BEGIN "):
        return _in_pem(typed_key)
    try:
        found = json.loads(typed_key)
    except (ValueError, RecursionError) as error:
        raise _wrong(_("This is not a public key in JSON (JWK)")) from error
    if not isinstance(found, dict):
        raise _wrong(_("This is not a public key in JSON (JWK)"))
    return found


def _in_pem(typed_key: str) -> Mapping[str, Any]:
    if " PRIVATE KEY-----" in typed_key:
        raise _private()
    try:
        key = load_pem_public_key(typed_key.strip().encode())
    except (ValueError, UnsupportedAlgorithm) as error:
        raise _wrong(_("This is not a public key in PEM")) from error
    spki = key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    for kind in (jwk.ECKey, jwk.OKPKey, jwk.RSAKey):
        try:
            found: Mapping[str, Any] = kind.import_key(spki).as_dict(private=False)
        except (JoseError, ValueError, TypeError):
            continue
        return found
    raise _wrong(_("A key is of type EC (P-256), OKP (Ed25519) or RSA (2048 to 4096 bits)"))


def _private() -> RuleError:
    return _wrong(
        _("This holds a private key, which is now known to others: make another one"),
        "private_key",
    )


def _imported(public: dict[str, Any]) -> Any:
    kind = public["kty"]
    wanted = _CURVES.get(kind)
    if wanted and public["crv"] != wanted:
        raise _wrong(_("A key is of type EC (P-256), OKP (Ed25519) or RSA (2048 to 4096 bits)"))
    try:
        key: Any = jwk.import_key(public)
        key.get_op_key("verify")  # reads the numbers themselves
    except (JoseError, ValueError, TypeError) as error:
        raise _wrong(_("This is not a public key in JSON (JWK)")) from error
    if kind == "RSA" and key.public_key.key_size not in RSA_BITS:
        raise _wrong(_("A key is of type EC (P-256), OKP (Ed25519) or RSA (2048 to 4096 bits)"))
    return key


def _wrong(message: str, code: str = "key_malformed") -> RuleError:
    return RuleError(message, field="jwk", code=code)


def shown_key(key: Mapping[str, Any]) -> str:
    """Return a public key as it is typed."""
    return json.dumps(key) if len(key) > 1 else ""


def carry_out(cases: Sequence[Case], _actor: Actor, _now: datetime) -> None:
    """Register and revoke the keys of approved applications, in the approval's transaction.

    The database reads from the applications what each says (sql/0015/machines.sql).
    """
    with _key_errors():
        db.session.execute(_CARRY_OUT, {"ids": [case.id for case in cases]})


@contextmanager
def _key_errors() -> Iterator[None]:
    try:
        yield
    except IntegrityError as error:
        constraint = violated(error)
        if constraint in (
            "machine_key_as_approved",
            "machine_key_thumbprint_key",
            "machine_key_kid",
        ):
            raise RuleError(
                _("The key is another one by now; send the application back and enter it anew"),
                code="changed_meanwhile",
            ) from error
        raise


_CARRY_OUT = typed("SELECT carry_out_machine_keys(:ids)", ids=BigInteger)
