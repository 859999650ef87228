"""Start the assistant: `python -m assistant --module /path/to/driver.so --site https://...`."""

from __future__ import annotations

import argparse
import os
import signal
import sys
import threading
from pathlib import Path
from urllib.parse import urlsplit

from app.pki.suites import INTL, SUITES
from assistant import PORT
from assistant.keyring import Keyring, demo_keys, usb_keys
from assistant.pairing import Pairing
from assistant.server import Server

GIVEN_CODE = "ASSISTANT_PAIRING"  # environment variable
STATE = Path("~/.local/state/usbkey-assistant").expanduser()
SOFT_PROFILES = ("demo", "test")


def main(arguments: list[str] | None = None) -> None:
    """Serve until stopped."""
    options = _options(arguments)
    keyring = Keyring(_tokens(options), SUITES[options.suite])
    server = _listening(options, keyring)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    if options.with_parent:
        threading.Thread(target=_end_with_parent, daemon=True).start()
    try:
        server.serve_forever(poll_interval=0.5)
    except KeyboardInterrupt:
        pass
    finally:
        server.server_close()


def _listening(options: argparse.Namespace, keyring: Keyring) -> Server:
    """Return the server; the member is told the pairing code, which the demonstration's pages hand over."""
    given = os.environ.get(GIVEN_CODE, "") if options.demo_keys else ""
    pairing = Pairing(options.state, given)
    try:
        server = Server(options.port, keyring, frozenset(options.site), pairing)
    except OSError as error:
        sys.exit(
            f"✗ 端口 {options.port} 不可用（{error.strerror}）。可能已有一个USBKey助手在运行；若不是，"
            "请勿在弹出的窗口中输入PIN码，先查明占用端口的程序。"
        )
    if not given:
        sys.stderr.write(
            f"配对码：{pairing.code()}（在浏览器中首次使用时填写；存于 {pairing.path}）\n"
        )
    return server


def _options(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="assistant", description=__doc__)
    parser.add_argument("--port", type=int, default=PORT, help="port on 127.0.0.1")
    parser.add_argument(
        "--site", action="append", required=True, type=_origin, help="a registry that may ask"
    )
    keys = parser.add_mutually_exclusive_group(required=True)
    keys.add_argument("--module", help="the USBKey's PKCS#11 driver")
    keys.add_argument("--demo-keys", type=Path, help="folder of soft keys; the demonstration alone")
    parser.add_argument(
        "--token", action="append", default=[], help="serial or label of a USBKey; else all"
    )
    parser.add_argument("--suite", choices=SUITES, default=INTL.name, help="of keys made here")
    parser.add_argument(
        "--state", type=Path, default=STATE, help="folder of the pairing code and the wrong PINs"
    )
    parser.add_argument("--with-parent", action="store_true", help="end when standard input ends")
    options = parser.parse_args(arguments)
    if options.demo_keys and os.environ.get("APP_PROFILE") not in SOFT_PROFILES:
        parser.error("软证书仅供演示。Soft keys are for the demonstration: APP_PROFILE=demo")
    return options


def _tokens(options: argparse.Namespace):  # type: ignore[no-untyped-def]
    if options.demo_keys:
        return demo_keys(options.demo_keys)
    return usb_keys(options.module, options.token, options.state)


def _origin(text: str) -> str:
    """Parse an origin: scheme, host and port only."""
    parts = urlsplit(text)
    is_local = parts.hostname in ("127.0.0.1", "localhost", "::1")
    is_known = parts.scheme == "https" or (parts.scheme == "http" and is_local)
    if not is_known or text != f"{parts.scheme}://{parts.netloc}" or "@" in text or " " in text:
        raise argparse.ArgumentTypeError(f"not an origin like https://registry.example: {text}")
    return text


def _end_with_parent() -> None:
    """End when stdin is closed by the end of the parent process."""
    while os.read(sys.stdin.fileno(), 1024):  # Unbuffered: no lock is held when we exit.
        pass
    os._exit(0)


if __name__ == "__main__":
    main()
