"""The base of our pages: current actor, permissions, addresses, small forms."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from flask import abort, request, url_for
from flask_appbuilder import BaseView
from flask_babel import gettext
from flask_login import current_user
from flask_wtf import FlaskForm
from werkzeug.datastructures import MultiDict

from app.domain.errors import NotFound, RuleError
from app.extensions import transaction
from app.operations.people import unfinished
from app.operations.records.actor import Actor
from app.security.manager import permissions
from app.views.chapters import MenuEntry


def named_in_address(name: str, digits: int = 9) -> int:
    """Return the row's id that the query string names, or answer 404 where it is none."""
    text = request.args.get(name, "")
    return int(text) if re.fullmatch(rf"[0-9]{{1,{digits}}}", text) else abort(404)


FORM_KEY = re.compile(r"[A-Za-z0-9-]{8,64}")


@dataclass(frozen=True, slots=True)
class SignedAct:
    """An act of a page that its member signs, where acts are signed.

    ``carry_out`` takes the values that were signed and the key of the signature, None where there is
    none, and returns what to tell; ``shown`` are the values as (label, text).  ``permission`` is one
    of the page.
    """

    title: Any
    permission: str
    carry_out: Callable[[Mapping[str, Any], Actor, int | None], str]
    shown: Callable[[Mapping[str, Any]], Sequence[tuple[Any, str]]]


class Page(BaseView):
    """A page of the registry, with the declarations that belong to it.

    One instance serves all threads: never keep request state on it.
    """

    title: Any = ""
    menu: ClassVar[MenuEntry | None] = None
    # By guide, the anchor of the section about this page.
    guide: ClassVar[Mapping[str, str]] = {}
    # By roles (app/security/roles.py), their permissions, without Flask-AppBuilder's "can_".
    grants: ClassVar[Mapping[str, str]] = {}
    signed_acts: ClassVar[Mapping[str, SignedAct]] = {}  # by names of the operation log
    profiles: ClassVar[Sequence[str]] = ("demo", "test", "production")  # where there is such a page
    # What becomes of input that arrives after the session has ended (app/security/lost_forms.py): stored, or
    # not even that, and, by methods that take a form shown by another one, that other one.
    keeps_input = True
    shown_by: ClassVar[Mapping[str, str]] = {}

    def may(self, permission: str, page: str = "") -> bool:
        """Tell whether the member has a permission on this page, or on another one by name."""
        return (f"can_{permission}", page or self.class_permission_name) in permissions()

    def url(self, method: str, /, **arguments: Any) -> str:
        return url_for(f"{self.endpoint}.{method}", **arguments)

    def keep_files(self, actor: Actor) -> list[str]:
        """Store the files of a form that arrived after the session; return the names of the others."""
        return [file.filename for _name, file in request.files.items(multi=True) if file.filename]

    def form_page(
        self, title: Any, form: Any, *, cancel_url: str, refused: int = 400, **shown: Any
    ) -> Any:
        """Render a small form; ``refused`` is the status where it has errors.

        ``shown`` are facts, help, submit_label, confirm and quick, see parts/form.html.
        """
        shown.setdefault("submit_label", gettext("Save"))
        page = self.render_template(
            "parts/form.html", title=title, form=form, cancel_url=cancel_url, **shown
        )
        return page, refused if form.errors else 200


def sent() -> MultiDict[str, str]:
    """Return the form data: of this request, or those stored under the address's key ``form``."""
    if request.method == "POST":
        return request.form
    key = request.args.get("form", "")
    if not FORM_KEY.fullmatch(key) or not current_user.is_authenticated:
        return MultiDict()
    found = unfinished.find(current_user.id, key)
    return MultiDict(found.content if found else ())


class PageForm(FlaskForm):
    """A form that is filled in again from stored data (`sent`)."""

    class Meta(FlaskForm.Meta):
        """Reads the stored data, too."""

        def wrap_formdata(self, form: Any, formdata: Any) -> Any:
            found = super().wrap_formdata(form, formdata)
            return sent() or None if found is None else found


def current_actor() -> Actor:
    """Return the signed-in member and their address, as operations record them."""
    return Actor.of(current_user._get_current_object(), request.remote_addr or "")


def carried_out(form: Any, act: Callable[[], Any], usual: str) -> Any:
    """Run ``act`` and return its result, True for None.

    Returns None where a rule refuses it: the message is put at its field, or at the ``usual`` one.
    """
    try:
        with transaction():
            return act() or True
    except NotFound:
        raise
    except RuleError as error:
        field = form[error.field if error.field in form else usual]
        field.errors = [*field.errors, str(error)]
        return None
