# What the rules of registry.yml find and what they leave alone; `semgrep --test` reads the marks.
# ruff: noqa
# mypy: ignore-errors
import hashlib
import pickle
import random
import smtplib
import subprocess
import urllib.request

import requests
from flask import redirect, request, url_for
from markupsafe import Markup
from sqlalchemy import text


# ruleid: no-model-view
class Leaking(ModelView):
    def reads(self, pk):
        # ruleid: unfiltered-datamodel-get
        self.datamodel.get(pk)
        # ok: unfiltered-datamodel-get
        self.datamodel.get(pk, self._base_filters)


# ok: no-model-view
class Listing(ListPage):
    pass


def commits():
    # ruleid: commit-at-the-edges-alone
    db.session.commit()
    # ruleid: commit-at-the-edges-alone
    session.commit()
    # ok: commit-at-the-edges-alone
    connection.commit()


def marks(name):
    # ruleid: markup-of-a-built-string
    Markup(f"<b>{name}</b>")
    # ruleid: markup-of-a-built-string
    Markup("<b>%s</b>" % name)
    # ruleid: markup-of-a-built-string
    Markup("<b>" + name)
    # ruleid: markup-of-a-built-string
    Markup(name).format(name)
    # ok: markup-of-a-built-string
    Markup("<b>{}</b>").format(name)
    # ok: markup-of-a-built-string
    Markup("<b>bold</b>")


def hashes_of(data):
    # ruleid: weak-hash
    hashlib.md5(data)
    # ruleid: weak-hash
    hashlib.sha1(data)
    # ok: weak-hash
    hashlib.sha256(data)


def calls(pool):
    # ruleid: request-without-a-timeout
    requests.get("https://example.cn")
    # ok: request-without-a-timeout
    requests.get("https://example.cn", timeout=5)
    # ruleid: request-without-a-timeout
    pool.request("POST", "https://example.cn")
    # ok: request-without-a-timeout
    pool.request("POST", "https://example.cn", timeout=5)
    # ruleid: request-without-a-timeout
    smtplib.SMTP("mail.example.cn")
    # ruleid: request-without-a-timeout
    urllib.request.urlopen("https://example.cn")
    # ok: request-without-a-timeout
    requests.append(1)


def typed():
    # ruleid: sql-from-what-was-typed, sql-put-together
    db.session.execute(text("SELECT " + request.args["column"]))
    # ok: sql-from-what-was-typed
    db.session.execute(text("SELECT :value"), {"value": request.args["value"]})
    # ruleid: redirect-to-what-was-typed
    redirect(request.args["next"])
    # ok: redirect-to-what-was-typed
    redirect(safe_next(request.args["next"]) or url_for("HomeView.index"))


def unsafe(data):
    # ruleid: no-unsafe-loading
    pickle.loads(data)
    # ruleid: no-unsafe-loading
    eval(data)
    # ruleid: no-unsafe-loading
    subprocess.run(data, shell=True)
    # ok: no-unsafe-loading
    subprocess.run(["openssl", data])


def codes():
    # ruleid: insecure-random
    random.choice("0123456789")


def put_together(name):
    # ruleid: sql-put-together
    db.session.execute(text(f"SELECT * FROM {name}"))
    # ruleid: sql-put-together
    db.session.execute(text("SELECT * FROM %s" % name))
    # ruleid: sql-put-together
    db.session.execute(text("SELECT * FROM " + name))
    # ruleid: sql-put-together
    connection.execute(f"SELECT * FROM {name}")
    # ruleid: sql-put-together
    connection.exec_driver_sql("SELECT * FROM {}".format(name))
    # ok: sql-put-together
    db.session.execute(text("SELECT * FROM account WHERE name = :name"), {"name": name})


class Open(BaseView):
    # ruleid: address-without-a-permission
    @expose("/")
    def index(self):
        return "open to all"

    # ok: address-without-a-permission
    @expose("/closed")
    @has_access
    def closed(self):
        return "asks for a permission"

    # ok: address-without-a-permission
    @expose("/named", methods=["POST"])
    @has_access
    @permission_name("edit")
    def named(self):
        return "asks for a permission by name"


def led_astray():
    target = request.args.get("next", "")
    # ruleid: redirect-to-what-was-typed
    return redirect(target)
