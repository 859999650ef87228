"""The writing methods of Flask-AppBuilder's manager would bypass our rules: all of them refuse."""

from __future__ import annotations

import inspect
import re

import pytest
from flask_appbuilder.security.sqla.manager import SecurityManager
from sqlalchemy import func, select

from app.extensions import db
from app.models import Member
from app.security.manager import WRITES
from tests.factories import member

WRITING = re.compile(
    r"session\.(add|merge|delete|commit|flush|execute)\(|create_all\("
    rf"|self\.({'|'.join(WRITES)})\("
)
# They write by methods that refuse: nobody signs in by them, and only `__init__` makes tables.
BY_OTHERS = {
    "auth_user_db", "auth_user_ldap", "auth_user_oauth", "auth_user_remote_user", "auth_user_saml",
    "create_db", "get_groups_from_keys",
}  # fmt: skip
READING = {"get_user_permissions", "_get_user_permission_view_menus"}


def functions():
    """Yield FAB's original methods."""
    for name in dir(SecurityManager):
        found = inspect.getattr_static(SecurityManager, name)
        found = getattr(found, "__func__", found)
        if inspect.isfunction(found) and name != "__init__":
            yield name, found


def test_every_method_that_writes_is_known():
    writing = {
        name for name, function in functions() if WRITING.search(inspect.getsource(function))
    }
    assert writing - BY_OTHERS - READING <= set(WRITES)
    assert set(WRITES) <= {name for name, _function in functions()}


@pytest.mark.parametrize("name", WRITES)
def test_it_refuses_and_nothing_is_written(app, name):
    someone = member("registry_maker")
    before = db.session.scalar(select(Member.password).where(Member.id == someone.id))
    with pytest.raises(NotImplementedError, match=name):
        getattr(app.appbuilder.sm, name)(someone, "a")
    assert db.session.scalar(select(Member.password).where(Member.id == someone.id)) == before
    assert db.session.scalar(select(func.count()).select_from(Member)) == 1
