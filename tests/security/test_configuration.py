"""Deployment: gunicorn, proxy headers, listen address."""

from __future__ import annotations

import importlib.util
import re

import pytest

import config

DEPLOY = config.ROOT / "deploy"


@pytest.fixture
def runner():
    """app.py, whose name the package has taken."""
    spec = importlib.util.spec_from_file_location("runner", config.ROOT / "app.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_server_has_no_control_socket_and_trusts_no_forwarder(app, settings, runner):
    server = runner.Server(app, settings)
    assert server.cfg.settings["control_socket_disable"].get() is True
    assert server.cfg.forwarded_allow_ips == []
    assert server.cfg.address == [(settings.host, settings.port)]
    assert server.cfg.reload is False


def test_the_application_is_reached_through_its_proxy_alone():
    sample = (DEPLOY / "registry.env.sample").read_text()
    assert re.search(r"^HOST=127\.0\.0\.1$", sample, re.M)
    assert re.search(r"^TRUSTED_PROXIES=1$", sample, re.M)
    assert re.search(r"^TRUSTED_HOSTS=\S+$", sample, re.M)


def test_nginx_overwrites_what_the_application_believes():
    sample = (DEPLOY / "nginx.conf.sample").read_text()
    for header, value in {
        "Host": "$host",
        "X-Forwarded-For": "$remote_addr",
        "X-Forwarded-Proto": "$scheme",
        "X-Forwarded-Host": "$host",
        "X-SSL-Client-Verify": "$ssl_client_verify",
        "X-SSL-Client-Cert": "$ssl_client_escaped_cert",
    }.items():
        assert re.search(rf"proxy_set_header {header} +{re.escape(value)};", sample), header
    assert "proxy_add_x_forwarded_for" not in sample  # It would keep what the visitor invented.
