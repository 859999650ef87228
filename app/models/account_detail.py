"""What the registry knows of an account's subject beyond its name (manual 二-三; domain.md section 5)."""

from __future__ import annotations

from flask_appbuilder import Model
from sqlalchemy import ForeignKey, String
from sqlalchemy.orm import Mapped, mapped_column

from app.models.encrypted import Encrypted


def _secret(name: str) -> Mapped[str | None]:
    return mapped_column(Encrypted(f"account_detail.{name}"))


class AccountDetail(Model):
    """The details of one account; phone, identity and bank numbers are encrypted at rest."""

    __tablename__ = "account_detail"

    account_id: Mapped[int] = mapped_column(ForeignKey("account.id"), primary_key=True)
    registered_address: Mapped[str] = mapped_column(String(300), server_default="")
    legal_representative: Mapped[str] = mapped_column(String(100), server_default="")  # 法定代表人
    representative: Mapped[str] = mapped_column(String(100), server_default="")  # 账户代表
    representative_phone: Mapped[str | None] = _secret("representative_phone")
    representative_email: Mapped[str | None] = _secret("representative_email")
    representative_identity_no: Mapped[str | None] = _secret("representative_identity_no")
    bank_name: Mapped[str] = mapped_column(String(200), server_default="")
    bank_account: Mapped[str | None] = _secret("bank_account")
