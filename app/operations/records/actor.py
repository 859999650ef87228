"""The actor of an operation, as it is recorded."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any


@dataclass(frozen=True, slots=True)
class Actor:
    """The member or machine that acts.

    Row scope: ``account_id`` is 本单位, ``province`` is 省, neither is 全国 (the registry).
    """

    member_id: int | None
    member_no: str
    name: str
    ip: str = ""
    account_id: int | None = None
    province: str | None = None
    certificate: str = ""  # serial number, in hex, of the session's certificate

    @classmethod
    def of(cls, member: Any, ip: str = "", certificate: str = "") -> Actor:
        """Return the actor of a signed-in member, with the certificate of the session."""
        return cls(
            member_id=member.id,
            member_no=member.username,
            name=member.first_name,
            ip=ip,
            account_id=member.account_id,
            province=member.province,
            certificate=certificate or getattr(member, "certificate_serial", ""),
        )

    def as_parameters(self, now: datetime) -> dict[str, Any]:
        """Return member, address, certificate and time as parameters of an SQL statement."""
        return {
            "at": now,
            "member": self.member_id,
            "member_no": self.member_no,
            "member_name": self.name,
            "ip": self.ip,
            "certificate": self.certificate,
        }


# Machines have no 会员编号; logs show this instead.
SYSTEM = Actor(member_id=None, member_no="系统", name="系统")
EXCHANGE = Actor(member_id=None, member_no="交易系统", name="交易系统")
BANK = Actor(member_id=None, member_no="结算银行", name="结算银行")
# Approves what a batch that two officers signed carries out.
BATCH = Actor(member_id=None, member_no="结转批次", name="结转批次")
CCER = Actor(member_id=None, member_no="CCER登记系统", name="CCER登记系统")
