"""Checks without which a production installation does not start."""

from __future__ import annotations

import json
import os
import stat
from collections.abc import Iterator
from pathlib import Path

import click
from cryptography.x509.oid import NameOID
from flask import Flask
from flask_appbuilder.security.sqla.models import Role, assoc_user_role
from sqlalchemy import func, select, text

import config
from app.extensions import db
from app.models import Certificate, Member
from app.operations.people import passwords
from app.pki.ceremony import DEMO_PREFIX
from app.pki.errors import PkiError, SignerAbsent
from app.pki.signer import authority_of
from config import ConfigurationError, Settings, refusal

SERVING = ("run", "worker")  # the commands that serve
MOST_NAMED = 5


def check_before_serving(app: Flask, settings: Settings, default_password: str) -> None:
    """Run the checks when production is about to serve; commands run regardless, to correct faults."""
    context = click.get_current_context(silent=True)
    if settings.is_production and (context is None or context.info_name in SERVING):
        with app.app_context():
            check_production(app, default_password)


def check_production(app: Flask, default_password: str) -> None:
    """Raise ConfigurationError, with all reasons, where the installation is not fit for production."""
    if found := faults(app, default_password):
        raise ConfigurationError("\n".join(found))


def faults(app: Flask, default_password: str, *, every_member: bool = False) -> list[str]:
    """Return why the installation is not fit for production, in both languages; no secret is in it.

    Trying the default password on every member takes a tenth of a second for each.
    """
    found = [
        *_of_settings(app),
        *_of_authority(Path(app.config["CA_FOLDER"]), app.config["CRYPTO_SUITE"]),
        *_of_database(default_password, every_member=every_member),
    ]
    db.session.remove()
    return [*config.weaknesses(app.config["SETTINGS"]), *map(str, found)]


def _of_settings(app: Flask) -> Iterator[ConfigurationError]:
    if not app.config["CAPTCHA_ENABLED"]:
        yield refusal("生产环境不得关闭验证码", "the captcha cannot be off in production")
    if len(app.config["SECRET_KEY"] or "") < 32:
        yield refusal("SECRET_KEY 须不少于32个字符", "SECRET_KEY needs 32 characters or more")
    if app.debug or app.testing:
        yield refusal("生产环境不得开启调试", "production runs without debugging and testing")


def _of_authority(folder: Path, suite: str) -> Iterator[ConfigurationError]:
    if ours := writable(folder):
        paths, uid = "、".join(map(str, ours[:MOST_NAMED])), os.geteuid()
        yield refusal(
            f"CA_FOLDER 为 {folder}，运行服务的用户（uid {uid}）可写 {paths}：请以 registry 运行服务，"
            "由 registry-signer 建立并拥有此文件夹（如 /var/lib/registry-ca，0750），其上各级目录也不得可写",
            f"CA_FOLDER is {folder}, and the user of the service (uid {uid}) may write {paths}: run the"
            " service as registry, let registry-signer own the folder, and nobody of both what is above",
        )
    try:
        authority = authority_of(folder)
    except SignerAbsent:
        return  # before it is set up
    except PkiError as error:
        yield ConfigurationError(str(error))
        return
    if authority.suite.name != suite:
        yield refusal(
            f"签发机构属于 {authority.suite.name}，与 CRYPTO_SUITE 不一致",
            f"the authority is of the suite {authority.suite.name}, CRYPTO_SUITE is another",
        )
    named = authority.root.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
    name = str(named[0].value) if named else ""
    if name.startswith(DEMO_PREFIX):
        yield refusal(
            f"CA_FOLDER 中是演示的签发机构（{name}）：请按运行指南第 2 节另建",
            "CA_FOLDER holds the demonstration's authority: set up another, guide section 2",
        )
    yield from _of_keys(folder / "signer.json")


def _of_keys(file: Path) -> Iterator[ConfigurationError]:
    """Judge where the signing process has its keys, as it lets its group read."""
    try:
        kept_in = json.loads(file.read_text())["backend"]
    except OSError:
        yield refusal(
            f"读不到 {file}，无从得知签发密钥存放何处：请先启动签名进程 registry-signer",
            f"{file} cannot be read, which says where the keys are: start registry-signer first",
        )
        return
    if kept_in != "pkcs11":
        yield refusal(
            "CA_FOLDER 的签发密钥与印章密钥是文件：请以密码机或 SoftHSM 另建签发机构",
            "the authority's keys are files: set up one in a device or in SoftHSM",
        )


def writable(folder: Path) -> list[Path]:
    """Return what this user could replace: the folder, what is in it, the folders above it.

    In a sticky folder such as /tmp only owners replace.  The socket is there to be written to.
    """
    real = folder.resolve()
    above = [
        place
        for place in dict.fromkeys((folder, *folder.parents, real, *real.parents))
        if os.path.exists(place)  # Path.exists() raises where one above is closed to us.
    ]
    found = [place for place in above if _may_write(place) and not _is_sticky(place)]
    if folder in above and os.access(folder, os.R_OK | os.X_OK):
        inside = (each for each in sorted(folder.iterdir()) if not each.is_socket())
        found += [each for each in inside if _may_write(each)]
    return found


def _may_write(path: Path) -> bool:
    return path.stat().st_uid == os.geteuid() or os.access(path, os.W_OK)


def _is_sticky(folder: Path) -> bool:
    status = folder.stat()
    return bool(status.st_mode & stat.S_ISVTX) and status.st_uid != os.geteuid()


def _of_database(default_password: str, *, every_member: bool) -> Iterator[ConfigurationError]:
    if _owns_tables():
        yield refusal(
            "应用使用的数据库用户不得拥有数据表", "the application's database role owns tables"
        )
    weak = _default_passwords(default_password, every_member=every_member)
    if weak:
        yield refusal(
            f"以下会员仍使用默认密码：{'、'.join(weak)}，请停用或重置",
            f"members with a default password: {', '.join(weak)}; disable them, or reset it",
        )
    if soft := _soft_certificates():
        yield refusal(
            f"以下会员持有演示软证书：{'、'.join(soft)}，请吊销",
            f"members with a soft certificate of a demonstration: {', '.join(soft)}; revoke it",
        )


def _soft_certificates() -> list[str]:
    """Return the numbers of the first members whose certificate that may sign is a soft one."""
    numbers = (
        select(Member.username)
        .join(Certificate, Certificate.member_id == Member.id)
        .where(Certificate.assurance == "soft", Certificate.state != "revoked")
        .distinct()
        .order_by(Member.username)
        .limit(MOST_NAMED)
    )
    return list(db.session.scalars(numbers))


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


def _default_passwords(default: str, *, every_member: bool) -> list[str]:
    """Return the members found to have the default password: the first number of each batch.

    Hashes are salted, so only members registered as a batch share one, which is compared once.
    Unless every member is tried, these are, and the first members of each role, and whoever has
    not changed a first password; nobody can choose it (passwords.COMMON).
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
        select(func.min(Member.username), func.count(), Member.password)
        .where(Member.active, Member.password.is_not(None))
        .group_by(Member.password)
        .order_by(func.count().desc(), func.min(Member.username))
    )
    if not every_member:
        candidates = candidates.having(
            (func.count() > 1)
            | func.bool_or(Member.must_change_password)
            | func.bool_or(Member.id.in_(select(first.c.id).where(first.c.place <= 2)))
        ).limit(50)
    return [
        member_no if count == 1 else f"{member_no} 等 {count} 名"
        for member_no, count, stored in db.session.execute(candidates)
        if passwords.is_right(stored, default)
    ]
