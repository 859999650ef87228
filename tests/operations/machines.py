"""Machine clients for tests: keys, their registration by two officers, signed assertions and calls."""

from __future__ import annotations

import itertools
import json
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date
from typing import Any
from uuid import uuid4

from flask import Flask
from flask_babel import force_locale
from joserfc import jwk, jwt

from app.domain.machines import MEMBER_SCOPES, PLATFORM_SCOPES, SCOPES
from app.domain.moves import ISSUANCE_ACCOUNT_ID
from app.extensions import db, transaction
from app.models import Account, Application, MachineClient, Member
from app.operations.imports import platform_tables
from app.operations.people import credentials, machine_keys
from app.operations.records import clock
from app.operations.records.actor import Actor
from tests import factories

BASE = "/api/exchange/v1"
MEMBER_BASE = "/api/member/v1"
PLATFORM_BASE = "/api/platform/v1"
REGISTRATION, REVOCATION = "machine_key", "machine_key_revocation"
ENDS_ON = date(2027, 11, 1)
_kids = itertools.count(1)


def new_key(kind: str = "ES256") -> Any:
    """Return a new private key for an algorithm."""
    kid = {"kid": f"key-{next(_kids)}"}
    if kind == "ES256":
        return jwk.ECKey.generate_key("P-256", kid)
    if kind == "PS256":
        return jwk.RSAKey.generate_key(2048, kid)
    return jwk.OKPKey.generate_key("Ed25519", kid)


def proposed(key: Any, client: str = "SHEX01", **more: Any) -> dict[str, Any]:
    """Return what an application proposes about a client and its key."""
    public = machine_keys.read_key(machine_keys.shown_key(key.as_dict(private=False)))
    known = {"client": client, "name": "交易系统", "venue": "ZGW", "scopes": list(SCOPES)}
    return {**known, **more, **public}


def asked(proposal: dict[str, Any], by: Member, kind: str = REGISTRATION, **more: Any) -> int:
    """Enter and submit an application about a key."""
    registry = db.session.get_one(Account, ISSUANCE_ACCOUNT_ID)
    days = {"starts_on": date(2026, 11, 1), "ends_on": date(2027, 11, 1)}
    blank = {"document_no": "", "authority": "", "starts_on": None, "ends_on": None}
    dated = blank | days if kind == REGISTRATION else blank
    return factories.entered(kind, registry, by, **dated | {"proposal": proposal} | more)


def officers() -> tuple[Member, Member]:
    """Return two officers of the registry, registered where missing."""
    found = []
    for role in ("registry_maker", "registry_checker"):
        known = db.select(Member).where(Member.roles.any(name=role)).order_by(Member.id)
        found.append(db.session.scalars(known).first() or factories.member(role))
    return found[0], found[1]


@dataclass
class Machine:
    """A registered client with its private key, and an HTTP client to call with."""

    app: Flask
    code: str
    key: Any
    algorithm: str = "ES256"
    token: str = ""
    headers: dict[str, str] = field(default_factory=dict)
    base: str = BASE

    def assertion(self, **claims: Any) -> str:
        """Sign an assertion of now; claims of None are left out."""
        now = int(time.time())
        audience = f"{self.app.config['SITE_URL']}{self.base}/token"
        usual = {"iss": self.code, "sub": self.code, "aud": audience, "jti": str(uuid4()),
                 "iat": now, "exp": now + 60}  # fmt: skip
        said = {name: value for name, value in (usual | claims).items() if value is not None}
        header = {"alg": self.algorithm, "kid": self.key.kid}
        return jwt.encode(header, said, self.key, algorithms=[self.algorithm])

    def ask_token(self, assertion: str | None = None, **more: str) -> Any:
        """Ask for a token."""
        form = {
            "grant_type": "client_credentials",
            "client_assertion_type": "urn:ietf:params:oauth:client-assertion-type:jwt-bearer",
            "client_assertion": assertion or self.assertion(),
        }
        sent = {name: value for name, value in (form | more).items() if value}
        return self.app.test_client().post(f"{self.base}/token", data=sent, headers=self.headers)

    def sign_in(self, **more: str) -> Machine:
        """Get a token, for all scopes unless ``scope`` says which."""
        answer = self.ask_token(**more)
        assert answer.status_code == 200, answer.text
        self.token = answer.json["access_token"]
        return self

    def call(self, method: str, path: str, **more: Any) -> Any:
        """Call an address beneath the interface's."""
        sent = {"Authorization": f"Bearer {self.token}", **self.headers, **more.pop("headers", {})}
        client = self.app.test_client()
        return client.open(f"{self.base}{path}", method=method, headers=sent, **more)

    def post(self, *transfers: Any, key: str = "") -> Any:
        """Start transfers, each request under a key of its own unless ``key`` names one."""
        headers = {"Idempotency-Key": key or str(uuid4()), "Content-Type": "application/json"}
        text = json.dumps({"transfers": transfers})
        return self.call("POST", "/transfers", data=text, headers=headers)


def registered(app: Flask, code: str = "SHEX01", algorithm: str = "ES256", **more: Any) -> Machine:
    """Register a client with a new key by two officers."""
    with transaction():
        factories.venue()
    maker, checker = officers()
    key = new_key(algorithm)
    factories.confirmed(asked(proposed(key, code, **more), maker), checker)
    return Machine(app, code, key, algorithm)


OF_PLATFORM = {
    "name": "管理平台",
    "venue": "",
    "is_platform": True,
    "scopes": list(PLATFORM_SCOPES),
}


def of_platform(app: Flask, code: str = "MEEPT", **more: Any) -> Machine:
    """Register the reporting platform's client, as a venue's is."""
    machine = registered(app, code, **OF_PLATFORM | more)
    machine.base = PLATFORM_BASE
    return machine


def pushed(*rows: Mapping[str, Any], code: str = "MEEPT", **more: Any) -> int:
    """Push a pre-allocation as the platform's client, registered where missing; return its application."""
    usual = {"year": 2025, "sector": "power", "stage": "pre_allocation",
             "document_no": "鄂环函〔2026〕1号", "documented_on": date(2026, 11, 19)}  # fmt: skip
    known = db.select(MachineClient.id).where(MachineClient.code == code)
    if db.session.scalar(known) is None:
        maker, checker = officers()
        factories.confirmed(asked(proposed(new_key(), code, **OF_PLATFORM), maker), checker)
    client_id, actor = db.session.scalars(known).one(), Actor(None, code, "管理平台")
    table = platform_tables.Pushed(**{**usual, "rows": rows, **more})
    with transaction(), force_locale("zh"):
        number = platform_tables.receive(table, actor, client_id, now=clock.now())
    return db.session.scalars(db.select(Application.id).where(Application.number == number)).one()


def wanted(key: Any, **more: Any) -> dict[str, Any]:
    """Return what a person signs to issue a credential of every scope."""
    said = {"name": "碳管理系统", "scopes": tuple(MEMBER_SCOPES), "ends_on": ENDS_ON} | more
    typed = machine_keys.shown_key(key.as_dict(private=False))
    return credentials.content(said["name"], typed, said["scopes"], said["ends_on"])


def issued(app: Flask, by: Member, **more: Any) -> Machine:
    """Let a person issue a credential, unsigned, for a system with a new key."""
    key = new_key()
    with transaction():
        code = credentials.issue(wanted(key, **more), Actor.of(by), None, now=clock.now())
    return Machine(app, code, key, base=MEMBER_BASE)


def revoke(machine: Machine) -> None:
    """Revoke the machine's key by two officers."""
    maker, checker = officers()
    proposal = {"client": machine.code, "kid": machine.key.kid}
    factories.confirmed(asked(proposal, maker, REVOCATION), checker)
