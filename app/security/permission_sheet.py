"""权限表: which role holds which permission on which page, read from the registered pages."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from flask import Flask, current_app
from flask_babel import gettext
from flask_babel import lazy_gettext as _

from app.security.gate import PUBLIC
from app.security.problems import MACHINES
from app.security.roles import ROLES

# Descriptions of permissions; a test finds one that is missing.
WORDS = {
    "index": _("See"),
    "list": _("See the list"),
    "show": _("See the details"),
    "export": _("Export"),
    "write": _("Fill in, submit, withdraw"),
    "edit": _("Edit"),
    "set": _("Set"),
    "switch": _("Switch on and off"),
    "review": _("Review"),
    "bulk": _("Act on several at once"),
    "publish": _("Publish, withdraw, pin"),
    "end": _("Force out"),
    "unlock": _("Unlock"),
    "change_password": _("Change the own password"),
    "download": _("Download attachments"),
    "reveal": _("Read personal data in clear"),
    "certificate": _("Get the certificate of record"),
    "import": _("Import a file"),
    "sign": _("Sign with the USBKey"),
    "renew": _("Renew the own certificate"),
    "manage": _("Suspend, resume, revoke"),
    "issue": _("Issue credentials to own systems"),
    "revoke": _("Revoke credentials of systems"),
    "abort": _("Stop a job"),
    "add": _("Register members, and where their letters go"),
    "certify": _("Have certificates' codes sent, ask for replacements"),
    "confirm": _("Confirm replacements"),
    "query": _("Query the bank"),
    "compare": _("Compare with the CCER registry"),
}


@dataclass(frozen=True, slots=True)
class PermissionLine:
    """One permission on one page, with the URL rules that require it."""

    menu: str
    page: str
    view: str
    permission: str  # without "can_"; "" is public
    addresses: tuple[tuple[str, str], ...]  # (method, rule)

    @property
    def words(self) -> str:
        """Return its description."""
        if not self.permission:
            return gettext("Open to everybody, signed in or not")
        return str(WORDS.get(self.permission, self.permission))

    def allows(self, role: str) -> bool:
        """Tell whether a role holds it."""
        asked = (f"can_{self.permission}", self.view)
        return not self.permission or asked in ROLES[role].permissions()


def permission_of(app: Flask, endpoint: str) -> tuple[str, str]:
    """Return an endpoint's permission, without "can_" ("" for a public one), and its view."""
    blueprint, _dot, name = endpoint.partition(".")
    view = _views(app)[blueprint]
    if endpoint in PUBLIC:
        return "", view.class_permission_name
    # Without @has_access it would be open to every signed-in member.
    assert hasattr(getattr(view, name), "_permission_name"), f"{endpoint} asks for no permission"
    return view.get_method_permission(name), view.class_permission_name


def sheet() -> list[PermissionLine]:
    """Return every line in the menus' order, generated from the URL map."""
    app = current_app._get_current_object()  # type: ignore[attr-defined]
    found: dict[tuple[str, str], list[tuple[str, str]]] = {}
    for method, rule, endpoint in addresses(app):
        permission, view = permission_of(app, endpoint)
        found.setdefault((view, permission), []).append((method, rule))
    places = {view: (number, menu, page) for number, (view, menu, page) in enumerate(_places(app))}
    lines = [
        PermissionLine(*_named(places, view, app), view, permission, tuple(sorted(asked)))
        for (view, permission), asked in found.items()
    ]
    order = list(WORDS)
    return sorted(
        lines,
        key=lambda line: (
            not line.menu,
            places.get(line.view, (len(places),))[0],
            line.page,
            order.index(line.permission) if line.permission in order else len(order),
            line.permission,
        ),
    )


def addresses(app: Flask) -> Iterator[tuple[str, str, str]]:
    """Yield method, rule and endpoint of every URL rule but those of static files and of machines."""
    for rule in app.url_map.iter_rules():
        if rule.endpoint != "static" and not rule.rule.startswith(MACHINES):
            for method in sorted((rule.methods or set()) - {"HEAD", "OPTIONS"}):
                yield method, rule.rule, rule.endpoint


def _places(app: Flask) -> Iterator[tuple[str, str, str]]:
    """Yield (view, menu, page) of every menu entry, in the menus' order."""
    for category in app.appbuilder.menu.get_list():  # type: ignore[attr-defined]
        for item in category.childs or [category]:
            if item.baseview:
                menu = str(category.label) if category.childs else ""
                yield item.baseview.class_permission_name, menu, str(item.label)


def _named(places: dict[str, tuple[int, str, str]], view: str, app: Flask) -> tuple[str, str]:
    if view in places:
        _number, menu, page = places[view]
        return menu, page
    return "", str(_views(app)[view].title)


def _views(app: Flask) -> dict[str, Any]:
    return app.extensions["pages"]
