"""Checks without which a production installation does not start."""

from __future__ import annotations

from pathlib import Path

import click
from flask import Flask
from flask_appbuilder.security.sqla.models import Role, assoc_user_role
from sqlalchemy import func, select, text

from app.extensions import db
from app.models import Member
from app.operations.people import passwords
from app.pki.errors import SignerAbsent
from app.pki.signer import authority_of
from config import Settings, refusal


def check_before_serving(app: Flask, settings: Settings, default_password: str) -> None:
    """Run the checks when production is about to serve; commands run regardless, to correct faults."""
    context = click.get_current_context(silent=True)
    if settings.is_production and (context is None or context.info_name == "run"):
        with app.app_context():
            check_production(app, default_password)


def check_production(app: Flask, default_password: str) -> None:
    """Raise ConfigurationError where the installation is not fit for production."""
    if not app.config["CAPTCHA_ENABLED"]:
        raise refusal("生产环境不得关闭验证码", "the captcha cannot be off in production")
    if len(app.config["SECRET_KEY"] or "") < 32:
        raise refusal("SECRET_KEY 须不少于32个字符", "SECRET_KEY needs 32 characters or more")
    if app.debug or app.testing:
        raise refusal("生产环境不得开启调试", "production runs without debugging and testing")
    suite = _suite_of_authority(app)
    if suite not in ("", app.config["CRYPTO_SUITE"]):
        raise refusal(
            f"签发机构属于 {suite}，与 CRYPTO_SUITE 不一致",
            f"the authority is of the suite {suite}, CRYPTO_SUITE is another",
        )
    if _owns_tables():
        raise refusal(
            "应用使用的数据库用户不得拥有数据表", "the application's database role owns tables"
        )
    weak = _default_passwords(default_password)
    if weak:
        raise refusal(
            f"以下会员仍使用默认密码: {'、'.join(weak)}",
            f"members with a default password: {', '.join(weak)}",
        )
    db.session.remove()


def _suite_of_authority(app: Flask) -> str:
    """Return the suite of the authority, or "" before it is set up."""
    try:
        return authority_of(Path(app.config["CA_FOLDER"])).suite.name
    except SignerAbsent:
        return ""


def _owns_tables() -> bool:
    return bool(
        db.session.scalar(
            text(
                "SELECT rolsuper OR EXISTS (SELECT 1 FROM pg_class WHERE relkind IN ('r', 'p')"
                " AND relnamespace = 'public'::regnamespace AND pg_has_role(relowner, 'USAGE'))"
                " FROM pg_roles WHERE rolname = current_user"
            )
        )
    )


def _default_passwords(default: str) -> list[str]:
    """Return the numbers of members found to have the default password.

    Hashes are salted, so only members registered as a batch share one, which is compared once.
    Otherwise only the first members of each role are checked.
    """
    first = (
        select(
            Member.id,
            func.row_number().over(partition_by=Role.id, order_by=Member.id).label("place"),
        )
        .join(assoc_user_role, assoc_user_role.c.user_id == Member.id)
        .join(Role, Role.id == assoc_user_role.c.role_id)
        .subquery()
    )
    candidates = (
        select(func.min(Member.username), Member.password)
        .where(Member.active, Member.password.is_not(None))
        .group_by(Member.password)
        .having(
            (func.count() > 1)
            | func.bool_or(Member.id.in_(select(first.c.id).where(first.c.place <= 2)))
        )
        .order_by(func.count().desc())
        .limit(50)
    )
    return [
        member_no
        for member_no, stored in db.session.execute(candidates)
        if passwords.is_right(stored, default)
    ]
