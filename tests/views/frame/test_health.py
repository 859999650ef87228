"""/healthz and /readyz: for this machine alone, with what is missing."""

from __future__ import annotations

import json

import pytest


def test_a_process_that_answers_lives_and_is_ready(client):
    for address, found in (("/healthz", {"process": "ok"}),
                           ("/readyz", {"database": "ok", "schema": "ok"})):  # fmt: skip
        answer = client.get(address)
        assert (answer.status_code, json.loads(answer.text)) == (200, found)
        assert answer.headers["Cache-Control"] == "no-store"


def test_a_schema_of_another_version_makes_it_not_ready(tables, client):
    (revision,) = tables.connection.execute("SELECT version_num FROM alembic_version").fetchone()
    tables.connection.execute("UPDATE alembic_version SET version_num = '0001'")
    try:
        answer = client.get("/readyz")
    finally:
        tables.connection.execute("UPDATE alembic_version SET version_num = %s", (revision,))
    assert answer.status_code == 503
    assert json.loads(answer.text) == {"database": "ok", "schema": "failed"}


def test_a_signer_that_is_away_makes_it_not_ready(app, client, monkeypatch, tmp_path):
    monkeypatch.setitem(app.config, "CERT_LOGIN", "agent")
    monkeypatch.setitem(app.config, "CA_FOLDER", str(tmp_path))
    answer = client.get("/readyz")
    assert answer.status_code == 503
    assert json.loads(answer.text)["signer"] == "failed"


@pytest.mark.parametrize("address", ["/healthz", "/readyz"])
def test_others_find_nothing_there(client, address):
    assert client.get(address, environ_base={"REMOTE_ADDR": "198.51.100.7"}).status_code == 404
