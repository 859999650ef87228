"""首页: what waits, and the ways to go on."""

from __future__ import annotations

from flask_appbuilder import BaseView, expose, has_access

from app.views.menu import menu


class HomeView(BaseView):
    """The page after sign-in."""

    route_base = ""
    default_view = "index"

    @expose("/")
    @has_access
    def index(self) -> object:
        """Show it."""
        links = [
            (child["label"], child["url"], child["icon"] or entry["icon"])
            for entry in menu()
            for child in entry["children"] or [entry]
            if child["url"] != "/"
        ]
        home = {"cards": [], "todo": [], "quick_links": links[:8], "notices": []}
        return self.render_template("home.html", home=home)
