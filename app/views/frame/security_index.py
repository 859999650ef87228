"""安全指数: computed from facts known to the server, each with advice."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

from flask_babel import gettext

from app.extensions import db
from app.models.member import NO_ADDRESS
from app.models.parameter import settings
from app.operations.people.passwords import is_expired
from app.security.sessions import SessionFacts

RENEW_BEFORE = timedelta(days=30)

Item = tuple[str, bool, str]  # fact, whether it holds, advice


def security_index(member: Any, login: Any, facts: SessionFacts) -> dict[str, Any]:
    """Return level, label, score and items; without a certificate on a USBKey at most 中."""
    items = [*_of_signing_in(member, login, facts), *_of_the_member(member, facts)]
    score = sum(is_ok for _label, is_ok, _advice in items)
    missing = len(items) - score
    level = "high" if missing == 0 else "medium" if missing <= len(items) // 3 else "low"
    labels = {"high": gettext("High"), "medium": gettext("Medium"), "low": gettext("Low")}
    return {
        "level": level,
        "label": labels[level],
        "score": score,
        "of": len(items),
        "items": items,
    }


def _of_signing_in(member: Any, login: Any, facts: SessionFacts) -> Iterator[Item]:
    values = settings(db.session)
    days = values["password_max_age_days"]
    yield (
        gettext("Signed in with a certificate on a USBKey"),
        login.method == "certificate",
        gettext("Ask the registry for a USBKey; a certificate in a file counts for less"),
    )
    if facts.certificate_until is not None:
        left = facts.certificate_until - datetime.now(UTC)
        yield (
            gettext("The certificate is valid for more than %(days)s days", days=RENEW_BEFORE.days),
            left > RENEW_BEFORE,
            gettext("Renew the certificate; %(days)s days are left", days=max(left.days, 0)),
        )
    yield (
        gettext("The first password was replaced by an own one"),
        facts.has_own_password,
        gettext("Choose a password of your own under Change password"),
    )
    if days:
        yield (
            gettext("The password was set within %(days)s days", days=days),
            not is_expired(member.password_changed_at, values, datetime.now(UTC)),
            gettext("Change the password from time to time"),
        )
    yield (
        gettext("No failed sign-in since the last one"),
        login.failures_since == 0,
        gettext("If it was not you, change the password and tell the service desk"),
    )


def _of_the_member(member: Any, facts: SessionFacts) -> Iterator[Item]:
    """Look at what an enterprise can do about its account; officers have none."""
    if member.account_id is None:
        return
    yield (
        gettext("Phone and e-mail are on file, so that notices arrive"),
        facts.has_phone and not member.email.endswith(NO_ADDRESS),
        gettext("Apply for a change of the account's details"),
    )
    yield (
        gettext("A second person can sign in for the enterprise"),
        facts.has_second_person,
        gettext("Have a second operator registered, so that one can check the other"),
    )
