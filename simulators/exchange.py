"""An exchange that speaks the exchange interface (docs/interfaces/exchange.md), for tests and trials.

    python -m simulators.exchange --day 2026-11-20 --address http://127.0.0.1:8080 --key FOLDER [--stage …]

The folder holds its keys, made at the first call, and what it did on each day: repeated stages go on where
they stood.

    open      reads positions, money, members and instruments, and starts a few transfers
    hand_in   matches deals within price limits, stock and money, and hands in the signed day package
    confirm   compares the registry's result with its own figures, and signs it

Seed and day decide the deals: the same registry is dealt with in the same way.  A file named `misreports`
in the folder lets the next package say one tonne too many of one member's position.
"""

from __future__ import annotations

import argparse
import base64
import datetime as clock
import hashlib
import json
import os
import random
import sys
import time
import urllib.error
import urllib.parse
import urllib.request
import uuid
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from http import HTTPStatus
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import pkcs7
from cryptography.x509.oid import NameOID
from joserfc import jwk, jwt

from simulators import package

BASE = "/api/exchange/v1"
CLIENT = "ZGW01"
PATIENCE = 30  # seconds for an answer
BEIJING = clock.timezone(timedelta(hours=8))
FIRST_PRICE = 90_00  # fen, of what was never quoted
LIMITS = {10: 10, 20: 30}  # percent of the previous close, by method (rules-2026 N149)
BLOCK = 100_000  # tonnes, from which on a deal is a block deal
MOST_DEALS = 200  # listed ones, a day
SESSION = 18_000  # seconds in which a day's deals are made
MOST_LISTED = 30_000  # tonnes of a listed deal
LOT = 100  # tonnes
CUT_OFF = clock.time(15, 0)  # of transfers
MOVED_IN = 160_000  # tonnes that the exchange fetches where a member allows it


class ExchangeError(Exception):
    """What stopped a stage, in Chinese."""


class Keys:
    """The exchange's keys: one for the interface, one that signs packages and results."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        folder.chmod(0o700)
        self.client: Any = jwk.ECKey.import_key(json.loads(self._kept("client.json", _new_client)))
        self._signing: Any = serialization.load_pem_private_key(
            self._kept("signing.pem", _new_signing), None
        )

    def public(self) -> dict[str, Any]:
        """Return the client's public key, as the registry is to register it."""
        return {**self.client.as_dict(private=False), "kid": self.client.kid}

    def certificate(self, day: date) -> bytes:
        """Return the certificate (DER) of a day's signatures, which its registry is to trust."""
        return self._kept(f"{day}.cer", lambda: self._certified(day))

    def sign(self, content: bytes, day: date) -> bytes:
        """Return the detached CMS signature (DER) over the content."""
        certificate = x509.load_der_x509_certificate(self.certificate(day))
        return (
            pkcs7.PKCS7SignatureBuilder()
            .set_data(content)
            .add_signer(certificate, self._signing, hashes.SHA256())
            .sign(serialization.Encoding.DER, [
                pkcs7.PKCS7Options.DetachedSignature, pkcs7.PKCS7Options.Binary,
                pkcs7.PKCS7Options.NoCapabilities,
            ])
        )  # fmt: skip

    def _certified(self, day: date) -> bytes:
        named = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, f"演示交易机构 {day}")])
        now = datetime.now(UTC)
        made = (
            x509.CertificateBuilder(
                named, named, self._signing.public_key(), x509.random_serial_number()
            )
            .not_valid_before(now - timedelta(days=30))
            .not_valid_after(now + timedelta(days=365))
            .sign(self._signing, hashes.SHA256())
        )
        return made.public_bytes(serialization.Encoding.DER)

    def _kept(self, name: str, make: Any) -> bytes:
        path = self.folder / name
        if not path.exists():
            _write(path, make())
        return path.read_bytes()


def _new_client() -> bytes:
    key = jwk.ECKey.generate_key("P-256", {"kid": f"simulator-{uuid.uuid4().hex[:8]}"})
    return json.dumps({**key.as_dict(private=True), "kid": key.kid}).encode()


def _new_signing() -> bytes:
    return ec.generate_private_key(ec.SECP256R1()).private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


def _write(path: Path, content: bytes) -> None:
    fresh = path.with_name(f"{path.name}.new")
    fresh.touch(mode=0o600)
    fresh.write_bytes(content)
    fresh.replace(path)


class Line:
    """Calls of the interface, with a token of the client's key."""

    def __init__(self, address: str, keys: Keys, client: str = CLIENT, audience: str = "") -> None:
        self._address, self._keys, self._client = address.rstrip("/"), keys, client
        self._audience = (audience or address).rstrip("/")
        self._token, self._until = "", 0.0

    def get(self, path: str, **query: Any) -> dict[str, Any]:
        """Read an address; ExchangeError for anything but its answer."""
        text = f"?{urllib.parse.urlencode(query)}" if query else ""
        return self.call("GET", path + text)

    def pages(self, path: str, what: str, **query: Any) -> Iterator[dict[str, Any]]:
        """Read every row of a list."""
        more: dict[str, Any] = {}
        while True:
            page = self.get(path, limit=1000, **query, **more)
            yield from page[what]
            if page["next_cursor"] is None:
                return
            more = {"cursor": page["next_cursor"]}

    def call(
        self, method: str, path: str, body: Any = None, *, file: bytes | None = None, **headers: str
    ) -> dict[str, Any]:
        """Call an address with JSON or a file; anew where its kept token counts no more."""
        sent = {name.replace("_", "-"): value for name, value in headers.items()}
        data = file
        if body is not None:
            data, sent["Content-Type"] = json.dumps(body).encode(), "application/json"
        elif file is not None:
            sent["Content-Type"] = "application/zip"
        is_kept = time.monotonic() < self._until
        try:
            return self._answer(method, self._at(path), data, sent | self._bearer())
        except Refused as refused:
            if not is_kept or refused.status != HTTPStatus.UNAUTHORIZED:
                raise
        self._until = 0.0
        return self._answer(method, self._at(path), data, sent | self._bearer())

    def public(self, path: str) -> dict[str, Any]:
        """Read a public address of the registry, outside the interface."""
        return self._answer("GET", self._address + path)

    def _at(self, path: str) -> str:
        return self._address + BASE + path

    def _bearer(self) -> dict[str, str]:
        if time.monotonic() >= self._until:
            self._sign_in()
        return {"Authorization": f"Bearer {self._token}"}

    def _sign_in(self) -> None:
        now = int(time.time())
        claims = {
            "iss": self._client, "sub": self._client, "aud": f"{self._audience}{BASE}/token",
            "jti": str(uuid.uuid4()), "iat": now, "exp": now + 60,
        }  # fmt: skip
        key = self._keys.client
        form = {
            "grant_type": "client_credentials",
            "client_assertion_type": "urn:ietf:params:oauth:client-assertion-type:jwt-bearer",
            "client_assertion": jwt.encode({"alg": "ES256", "kid": key.kid}, claims, key),
        }
        data = urllib.parse.urlencode(form).encode()
        answer = self._answer("POST", self._at("/token"), data)
        self._token = answer["access_token"]
        self._until = time.monotonic() + answer["expires_in"] - 60

    def _answer(
        self, method: str, address: str, data: bytes | None = None, headers: Any = None
    ) -> dict[str, Any]:
        # The registry's own address, which whoever started us gave.
        asked = urllib.request.Request(address, data, headers or {}, method=method)  # noqa: S310
        try:
            with urllib.request.urlopen(asked, timeout=PATIENCE) as answer:  # noqa: S310
                found: dict[str, Any] = json.load(answer)
                return found
        except urllib.error.HTTPError as error:
            refused = _refused(error)
            if refused.status == HTTPStatus.TOO_MANY_REQUESTS:
                raise Unanswered(str(refused)) from error
            raise refused from error
        except (OSError, ValueError) as error:
            raise Unanswered(f"注册登记系统没有应答：{error}") from error


class Unanswered(ExchangeError):
    """The registry did not answer, or not yet; the call may be repeated."""


class Refused(ExchangeError):
    """The registry's answer was a problem; ``status`` is the answer's."""

    status = 0


def _refused(error: urllib.error.HTTPError) -> Refused:
    try:
        said = json.load(error)
        faults = [f"{each.get('field', '')} {each['detail']}".strip() for each in said["errors"]]
        text = "；".join(faults[:5]) or said["title"]
    except (ValueError, KeyError, TypeError):
        text = error.reason
    refused = Refused(f"注册登记系统答复 {error.code}：{text}")
    refused.status = error.code
    return refused


class Exchange:
    """One venue's exchange; every stage may be repeated, and changes nothing the second time."""

    def __init__(self, keys: Keys, line: Line, seed: int = 2021) -> None:
        self._keys, self._line, self._seed = keys, line, seed

    def open(self, day: date) -> dict[str, int]:
        """Read what the members bring to the day, and start a few transfers; return what was counted."""
        days = self._line.get("/calendar", **{"from": day, "to": day})["days"]
        if not days or not days[0]["is_trading"]:
            raise ExchangeError(f"{day} 不是交易日")
        begun = self._read(day, "opening")
        if begun is None:
            begun = {**self._books(), "transfers": []}
            if datetime.fromisoformat(begun["as_of"]) < _at(day, CUT_OFF):
                begun["transfers"] = list(self._transfers(day, begun))
            self._keep(day, "opening", begun)
        if begun["transfers"]:
            self._line.call(
                "POST", "/transfers", {"transfers": begun["transfers"]},
                Idempotency_Key=f"open-{day}-{begun['key']}",
            )  # fmt: skip
        found = {name: len(begun[name]) for name in ("members", "tradable", "transfers")}
        return {**found, "positions": len(begun["positions"])}

    def hand_in(self, day: date) -> dict[str, Any]:
        """Hand in the day's package, the same one where it was kept before; return the day's state."""
        try:
            state = self._line.get(f"/days/{day}")
        except Refused as refused:
            if refused.status != 404:
                raise
        else:
            self._own(day, state["digest"])
            return state
        path = self._path(day, "zip")
        if not path.exists():  # An earlier one may be on its way still.
            _write(path, self._package(day))
        try:
            state = self._line.call("PUT", f"/days/{day}", file=path.read_bytes())
        except Refused as refused:
            if refused.status == 422:
                path.unlink()  # Its faults are named: the next one is made anew.
            raise
        self._own(day, state["digest"])
        return state

    def confirm(self, day: date) -> dict[str, Any]:
        """Compare the result with our own figures and sign it; return the day's state."""
        state = self._line.get(f"/days/{day}")
        if state["state"] == "received":
            raise ExchangeError(f"{day} 的结算结果尚未生成")
        said = state["result_text"].encode()
        self._compare(day, json.loads(said), state)
        if state["state"] != "awaits_confirmation":
            return state
        signature = base64.b64encode(self._keys.sign(said, day)).decode()
        body = {"settlement": state["settlement"], "signature": signature}
        return self._line.call("POST", f"/days/{day}/confirmation", body)

    def read(self, day: date) -> dict[str, Any]:
        """Return how far the registry's settlement of the day is."""
        return self._line.get(f"/days/{day}")

    # What it reads -------------------------------------------------------------------------------

    def _books(self) -> dict[str, Any]:
        """Return positions, money, members and instruments as the registry has them now."""
        as_of = self._line.get("/funds", limit=1)["as_of"]
        tradable = [each["trade_code"] for each in self._line.pages("/tradable", "instruments")]
        positions = list(self._line.pages("/positions", "positions"))
        sales = list(self._line.pages("/court-sales", "sales"))
        funds = {each["member_no"]: each for each in self._line.pages("/funds", "funds")}
        members = {number: self._line.get(f"/members/{number}") for number in sorted(funds)}
        return {
            "key": uuid.uuid4().hex[:8],
            "as_of": as_of,
            "tradable": sorted(set(tradable)),
            "positions": {
                f"{each['member_no']}/{each['trade_code']}": each["trading"] for each in positions
            },
            "sales": {
                each["number"]: [each["member_no"], each["trade_code"], each["unsold"]]
                for each in sales
            },
            "funds": {
                number: sum(_fen(each[name]) for name in ("available", "proceeds", "frozen"))
                for number, each in funds.items()
            },
            "payable": {
                number: _fen(each["available"]) + _fen(each["proceeds"])
                for number, each in funds.items()
            },
            "members": members,
        }

    def _transfers(self, day: date, books: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
        """Yield transfers of the day: one back to the registry, one in where the member allows it."""
        chance = _dice(self._seed, day, "transfers")
        held = sorted(key for key, tonnes in books["positions"].items() if tonnes >= 20 * LOT)
        if held:
            member, code = chance.choice(held).split("/")
            yield _transfer(day, 1, "out", member, code, LOT * chance.randint(1, 10))
        willing = [
            number
            for number, each in books["members"].items()
            if each["allows_exchange_transfer"] and each["status"] == "normal"
        ]
        wanted = [
            (member, code)
            for member in willing
            for code in books["tradable"]
            if 0 < books["positions"].get(f"{member}/{code}", 0) < BLOCK
        ]
        if wanted:
            yield _transfer(day, 2, "in", *chance.choice(wanted), MOVED_IN)

    def _closes(self) -> dict[str, int]:
        quotes = self._line.public("/market/quotes.json")["quotes"]
        return {each["trade_code"]: _fen(each["close"]) for each in quotes if each["close"]}

    # The package ---------------------------------------------------------------------------------

    def _package(self, day: date) -> bytes:
        now = self._books()
        began = self._read(day, "opening") or now
        deals = list(Matching(self._seed, day, now, self._closes()).deals())
        positions = _positions(deals, began["positions"], now["positions"])
        if (fault := self._keys.folder / "misreports").exists():
            fault.unlink()
            positions[0] = (*positions[0][:3], positions[0][3] + 1, *positions[0][4:7],
                            positions[0][7] + 1)  # fmt: skip
        tables = {
            "DEAL": deals,
            "POS": positions,
            "FUND": _funds(deals, began["funds"], now["funds"]),
            "TRANSFER": self._started(day),
        }
        venue = self._line.get("/tradable")["venue_code"]
        return package.write(venue, day, tables, lambda content: self._keys.sign(content, day))

    def _started(self, day: date) -> list[tuple[Any, ...]]:
        """Return the day's transfers as the registry has accepted them."""
        found = self._line.pages("/transfers", "transfers", state="pending_settlement")
        names = ("request_no", "direction", "member_no", "trade_code", "quantity")
        return [
            tuple(each[name] for name in names)
            for each in found
            if each["settles_on"] == day.isoformat()
        ]

    def _own(self, day: date, digest: str) -> bytes:
        """Return the package that we handed in; ExchangeError where the registry has another one."""
        path = self._path(day, "zip")
        content = path.read_bytes() if path.exists() else b""
        if hashlib.sha256(content).hexdigest() != digest:
            raise ExchangeError(f"登记机构已接收的 {day} 数据包不是本交易端保存的那一个")
        return content

    def _compare(self, day: date, result: Mapping[str, Any], state: Mapping[str, Any]) -> None:
        manifest = package.manifest_of(self._own(day, state["digest"]))
        deals = manifest["tables"]["DEAL"]
        own = {
            "day": day.isoformat(), "venue": manifest["venue"], "digest": state["digest"],
            "trades": deals["rows"], "quantity": deals["quantity"], "amount": deals["amount"],
            "covered": deals["rows"] - result.get("short", 0),
        }  # fmt: skip
        wrong = [
            f"{name} 应为 {value}，结果为 {result.get(name)}"
            for name, value in own.items()
            if result.get(name) != value
        ]
        if wrong:
            raise ExchangeError(f"{day} 的结算结果与交易端不一致：{'；'.join(wrong)}")

    # What it keeps -------------------------------------------------------------------------------

    def _path(self, day: date, what: str) -> Path:
        return self._keys.folder / f"{day}.{what}"

    def _read(self, day: date, what: str) -> dict[str, Any] | None:
        path = self._path(day, f"{what}.json")
        found: dict[str, Any] | None = json.loads(path.read_bytes()) if path.exists() else None
        return found

    def _keep(self, day: date, what: str, values: Any) -> None:
        _write(self._path(day, f"{what}.json"), json.dumps(values, ensure_ascii=False).encode())


class Matching:
    """Deals of a day among members who are good for them: what they hold now, and never twice."""

    def __init__(
        self, seed: int, day: date, books: Mapping[str, Any], closes: Mapping[str, int]
    ) -> None:
        self._day, self._closes = day, closes
        self._chance = _dice(seed, day, "deals")
        self._money = dict(books["payable"])
        self._restricted = {
            number for number, each in books["members"].items() if each["status"] != "normal"
        }
        # What is bought today is not added: it is sold tomorrow at the earliest.
        self._stock = {
            (member, code): tonnes
            for (member, code), tonnes in (
                (tuple(key.split("/")), tonnes) for key, tonnes in books["positions"].items()
            )
            if member in self._money
            and member not in self._restricted
            and code in books["tradable"]
        }
        # What courts let sell is in the positions, and sold under its own number alone.
        self._sales = {
            sale: found
            for sale, found in books.get("sales", {}).items()
            if found[0] in self._money and found[1] in books["tradable"]
        }
        for member, code, unsold in books.get("sales", {}).values():
            if (member, code) in self._stock:
                self._stock[member, code] -= unsold

    def deals(self) -> Iterator[tuple[Any, ...]]:
        """Yield the rows of DEAL: a block deal where somebody has the tonnes, then listed ones.

        Everybody with money buys once, and everybody with tonnes sells once, as far as partners go.
        """
        sellers = self._mixed({member for (member, _), held in self._stock.items() if held >= LOT})
        buyers = self._mixed(set(self._money) - self._restricted)
        turns = [(10, *pair) for pair in self._pairs(sellers, buyers)][:MOST_DEALS]
        planned = (*self._sold_for_courts(buyers), *self._blocks(buyers), *turns)
        number, apart = 0, min(1_000, SESSION // (len(planned) + 2))
        for method, seller, buyer in planned:
            sale = seller if seller in self._sales else ""
            found = self._match_sale(sale, buyer) if sale else self._match(method, seller, buyer)
            if found is None:
                continue
            number += 1
            code, price, quantity = found
            seller = self._sales[sale][0] if sale else seller
            at = _at(self._day, clock.time(9, 41)) + timedelta(
                seconds=apart * number + self._chance.randrange(apart)
            )
            yield (
                f"{self._day:%Y%m%d}{number:06d}", at.isoformat(), method, code, buyer, seller,
                _yuan(price), quantity, _yuan(price * quantity), "0.00", "0.00",
                f"B{number:04d}", sale or f"S{number:04d}",
            )  # fmt: skip

    def _mixed(self, members: set[str]) -> list[str]:
        found = sorted(members)
        self._chance.shuffle(found)
        return found

    def _pairs(self, sellers: Sequence[str], buyers: Sequence[str]) -> list[tuple[str, str]]:
        """Return (seller, buyer): each buyer in its turn, then each seller that had none."""
        found = []
        for n, buyer in enumerate(buyers):
            if others := [each for each in sellers if each != buyer]:
                found.append((others[n % len(others)], buyer))
        left = [each for each in sellers if each not in {seller for seller, _buyer in found}]
        for n, seller in enumerate(left):
            if others := [each for each in buyers if each != seller]:
                found.append((seller, others[n % len(others)]))
        return found

    def _blocks(self, buyers: Sequence[str]) -> list[tuple[int, str, str]]:
        large = sorted({member for (member, _code), held in self._stock.items() if held >= BLOCK})
        rich = [number for number in buyers if self._money[number] >= BLOCK * 2 * FIRST_PRICE]
        if not large or not rich:
            return []
        return [(20, self._chance.choice(large), self._chance.choice(rich))]

    def _sold_for_courts(self, buyers: Sequence[str]) -> list[tuple[int, str, str]]:
        """Return one listed deal a sale, whose number stands for the seller."""
        planned = []
        for n, (sale, (member, _code, _unsold)) in enumerate(sorted(self._sales.items())):
            if others := [each for each in buyers if each != member]:
                planned.append((10, sale, others[n % len(others)]))
        return planned

    def _match_sale(self, sale: str, buyer: str) -> tuple[str, int, int] | None:
        """Return code, price and tonnes of what a buyer takes of a sale; None where it lacks the money."""
        _member, code, unsold = self._sales[sale]
        price = self._price(code, 10)
        quantity = min(unsold, self._money[buyer] // price, MOST_LISTED)
        if not quantity:
            return None
        self._money[buyer] -= price * quantity
        return code, price, quantity

    def _match(self, method: int, seller: str, buyer: str) -> tuple[str, int, int] | None:
        """Return code, price and tonnes of a deal, None where one side lacks what it takes."""
        least = BLOCK if method == 20 else LOT
        codes = sorted(
            code
            for (member, code), tonnes in self._stock.items()
            if member == seller and tonnes >= least
        )
        if not codes or seller == buyer:
            return None
        code = self._chance.choice(codes)
        price = self._price(code, method)
        most = min(self._stock[seller, code], self._money[buyer] // price)
        if method == 10:
            most = min(max(LOT, most // 3), MOST_LISTED)
        if most < least or self._money[buyer] < price * least:
            return None
        quantity = max(least, self._chance.randint(least, most) // LOT * LOT)
        self._stock[seller, code] -= quantity
        self._money[buyer] -= price * quantity
        return code, price, quantity

    def _price(self, code: str, method: int) -> int:
        """Return a price in fen, a little off the previous close and within its limits."""
        close, limit = self._closes.get(code, FIRST_PRICE), LIMITS[method]
        lowest, highest = -(-close * (100 - limit) // 100), close * (100 + limit) // 100
        wanted = close + round(close * self._chance.uniform(-0.03, 0.032))
        return min(max(wanted, lowest), highest)


def _transfer(
    day: date, number: int, direction: str, member: str, code: str, tonnes: int
) -> dict[str, Any]:
    return {
        "request_no": f"SIM{day:%Y%m%d}{number:04d}", "direction": direction, "member_no": member,
        "trade_code": code, "quantity": tonnes,
    }  # fmt: skip


def _positions(
    deals: Sequence[Sequence[Any]], began: Mapping[str, int], now: Mapping[str, int]
) -> list[tuple[Any, ...]]:
    """Return the rows of POS: everybody who held, bought or sold anything."""
    bought: dict[str, int] = defaultdict(int)
    sold: dict[str, int] = defaultdict(int)
    for deal in deals:
        bought[f"{deal[4]}/{deal[3]}"] += deal[7]
        sold[f"{deal[5]}/{deal[3]}"] += deal[7]
    rows = []
    for key in sorted({*began, *now, *bought}):
        opening, moved = began.get(key, 0), now.get(key, 0) - began.get(key, 0)
        closing = opening + moved + bought[key] - sold[key]
        ins, outs = max(moved, 0), max(-moved, 0)
        rows.append((*key.split("/"), opening, ins, outs, bought[key], sold[key], closing))
    return rows


def _funds(
    deals: Sequence[Sequence[Any]], began: Mapping[str, int], now: Mapping[str, int]
) -> list[tuple[Any, ...]]:
    """Return the rows of FUND: everybody with a bank account."""
    bought: dict[str, int] = defaultdict(int)
    sold: dict[str, int] = defaultdict(int)
    for deal in deals:
        bought[deal[4]] += _fen(deal[8])
        sold[deal[5]] += _fen(deal[8])
    rows = []
    for number in sorted(now):
        opening = began.get(number, 0)
        moved = now[number] - opening
        closing = now[number] - bought[number] + sold[number]
        figures = (opening, max(moved, 0), max(-moved, 0), bought[number], sold[number], 0, closing)
        rows.append((number, *map(_yuan, figures)))
    return rows


def _dice(seed: int, day: date, what: str) -> random.Random:
    return random.Random(f"{seed} {day} {what}")  # noqa: S311 - the same day every time


def _at(day: date, hour: clock.time) -> datetime:
    return datetime.combine(day, hour, tzinfo=BEIJING)


def _fen(yuan: str) -> int:
    return int(Decimal(yuan) * 100)


def _yuan(fen: int) -> str:
    return f"{Decimal(fen) / 100:.2f}"


STAGES = ("open", "hand_in", "confirm")


def main() -> None:
    """Play a day, or one stage of it."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--day", type=date.fromisoformat, help="YYYY-MM-DD")
    parser.add_argument(
        "--address", default=os.environ.get("EXCHANGE_ADDRESS"), help="of the registry"
    )
    parser.add_argument("--key", type=Path, required=True, help="the folder of its keys")
    parser.add_argument("--client", default=CLIENT)
    parser.add_argument(
        "--stage", choices=STAGES, help="all of them, one after the other, unless given"
    )
    parser.add_argument("--seed", type=int, default=2021)
    asked = parser.parse_args()
    keys = Keys(asked.key)
    if asked.day is None or not asked.address:
        print(json.dumps(keys.public()))  # noqa: T201 - what the registry is to register
        return
    exchange = Exchange(keys, Line(asked.address, keys, asked.client), asked.seed)
    try:
        for stage in (asked.stage,) if asked.stage else STAGES:
            print(stage, _played(exchange, stage, asked.day), flush=True)  # noqa: T201
    except ExchangeError as error:
        sys.exit(str(error))


def _played(exchange: Exchange, stage: str, day: date) -> Any:
    """Carry out a stage; before the confirmation wait for the first review."""
    if stage == "open":
        return exchange.open(day)
    if stage == "hand_in":
        return exchange.hand_in(day)["state"]
    while exchange.read(day)["state"] == "received":
        time.sleep(2)
    return exchange.confirm(day)["state"]


if __name__ == "__main__":
    main()
