"""Run the code of docs/fab-developers.md in a separate application; started by test_fab_developers.py."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any

from flask_appbuilder import Model
from sqlalchemy import create_engine, select, text

import config
from app import installation
from app.extensions import db, transaction
from app.models import OperationLog
from app.security import manager, sessions
from app.views.page import Page
from app.web import create_app
from tests import factories
from tests.conftest import FreshClient

DOCUMENT = Path(__file__).resolve().parents[3] / "docs" / "fab-developers.md"
FORM = {"code": "coal", "name": "煤", "valid_from": "2026-01-01"}


def main() -> None:
    """Build the document's example, and use it as system administrator."""
    settings = config.load(dict(os.environ))
    app = create_app(settings)
    app.config["TESTING"] = True
    app.test_client_class = FreshClient
    with app.app_context():
        installation.install()
        built = build()
        make_table(settings)
        pages = [
            each for each in built.values() if isinstance(each, type) and issubclass(each, Page)
        ]
        pages = [each for each in pages if "route_base" in vars(each)]
        for page in pages:
            app.appbuilder.add_view_no_menu(page)  # type: ignore[attr-defined]
        names = [page.__name__ for page in pages]
        assert names == ["FuelTypeView", "CheckedFuelTypeView"], names
        grants = {
            (f"can_{each}", name) for each in ("list", "export", "edit", "bulk") for name in names
        }
        load = manager._load_permissions
        manager._load_permissions = lambda: load() | grants
        use(app, built["FuelType"])


def build() -> dict[str, Any]:
    """Execute the document's blocks as one module."""
    blocks = re.findall(r"```python\n(.*?)```", DOCUMENT.read_text(encoding="utf-8"), re.S)
    assert len(blocks) == 3
    built: dict[str, Any] = {"__name__": "app.views.reference.shown"}
    for block in blocks:
        exec(compile(block, str(DOCUMENT), "exec", dont_inherit=True), built)  # noqa: S102 - it is ours
    return built


def make_table(settings: config.Settings) -> None:
    engine = create_engine(settings.database_owner_url)
    Model.metadata.tables["fuel_type"].create(engine)
    role = db.engine.url.username
    with engine.begin() as connection:
        connection.execute(text(f'GRANT SELECT, INSERT, UPDATE ON fuel_type TO "{role}"'))
    engine.dispose()


def use(app: Any, fuel_type: Any) -> None:
    """Add, refuse, change, check and disable."""
    member = factories.member("system_admin")
    with transaction():
        token = sessions.begin(member.id, ip="127.0.0.1")
    browser = app.test_client()
    browser.arm(token=token)
    assert browser.post("/fuel-types/new", data=FORM).status_code == 302
    assert "已被使用" in browser.post("/fuel-types/new", data=FORM).text
    assert "煤" in browser.get("/fuel-types/?code=co").text
    assert "coal" in browser.get("/fuel-types/export.csv").text
    row = db.session.scalars(select(fuel_type)).one()
    change = {"name": "煤炭", "disabled_from": "", "version": str(row.version)}
    assert browser.post(f"/fuel-types/{row.id}/edit", data=change).status_code == 302
    assert browser.post(f"/fuel-types/{row.id}/edit", data=change).status_code == 422
    for act in ("check", "disable"):
        asked = {"action": act, "id": str(row.id), "count": "1"}
        assert "成功 1 条" in browser.post("/checked-fuel-types/bulk", data=asked).text, act
    assert browser.post("/fuel-types/bulk", data=asked | {"action": "check"}).status_code == 400
    actions = set(db.session.scalars(select(OperationLog.action)))
    assert actions >= {
        "reference.add", "reference.change", "reference.check", "reference.disable"
    }  # fmt: skip
    assert browser.get("/checked-fuel-types/action/check/1").status_code == 404


if __name__ == "__main__":
    main()
    print("as the document says")  # noqa: T201
