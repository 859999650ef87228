"""验证码: a few digits as image or audio, usable once.

The answer is not stored: it is derived from the id and SECRET_KEY; the table holds the unused ids, and
what was spoken of them, encrypted.
"""

from __future__ import annotations

import hmac
import secrets
import unicodedata
from datetime import timedelta

from flask import current_app
from sqlalchemy import ColumnElement, delete, func, insert, select, update

from app.extensions import db
from app.models import Captcha
from app.pki.suites import INTL

LIFETIME = timedelta(minutes=3)
LENGTH = 4
ALPHABET = "023456789"  # digits, for the audio; no 1, which looks like a 7 when slanted
INKS = ((24, 58, 120, 255), (16, 92, 84, 255), (112, 40, 48, 255), (72, 52, 120, 255))


def issue() -> str:
    """Create a captcha and return its id, which is not secret; commits by itself."""
    captcha_id = secrets.token_urlsafe(24)
    with db.engine.begin() as connection:
        connection.execute(delete(Captcha).where(Captcha.created_at < func.now() - LIFETIME))
        connection.execute(insert(Captcha).values(id=captcha_id))
    return captcha_id


def use(captcha_id: str, typed: str) -> bool:
    """Tell whether the answer is right; the captcha is used up either way."""
    with db.engine.begin() as connection:
        is_in_time = connection.scalar(
            delete(Captcha)
            .where(Captcha.id == captcha_id)
            .returning(Captcha.created_at >= func.now() - LIFETIME)
        )
    # Chinese input methods may produce full-width digits.
    typed = unicodedata.normalize("NFKC", typed[:20]).strip().casefold()
    right = answer(captcha_id, current_app.config["SECRET_KEY"])
    is_right = hmac.compare_digest(right.encode(), typed.encode())
    return bool(is_in_time and is_right)


def answer_of(captcha_id: str) -> str | None:
    """Return the answer of an unused captcha, to draw it."""
    with db.engine.connect() as connection:
        waits = connection.scalar(select(Captcha.id).where(_waits(captcha_id)))
    return answer(captcha_id, current_app.config["SECRET_KEY"]) if waits else None


def sound_of(captcha_id: str) -> bytes | None:
    """Return the WAV of an unused captcha: b"" before it was spoken, None where there is no such."""
    with db.engine.connect() as connection:
        row = connection.execute(select(Captcha.sound).where(_waits(captcha_id))).first()
    if row is None:
        return None
    return INTL.decrypt(_sound_key(), row.sound, captcha_id.encode()) if row.sound else b""


def speak(captcha_id: str) -> bytes:
    """Return a WAV of an unused captcha's answer, or b"" where it is no longer unused.

    Drawing takes a third of a second: the first to ask draws and stores it, and whoever asks meanwhile
    waits for the row.
    """
    with db.engine.begin() as connection:
        row = connection.execute(
            select(Captcha.sound).where(_waits(captcha_id)).with_for_update()
        ).first()
        if row is None:
            return b""
        key, about = _sound_key(), captcha_id.encode()
        if row.sound:
            return INTL.decrypt(key, row.sound, about)
        sound = _spoken(answer(captcha_id, current_app.config["SECRET_KEY"]))
        connection.execute(
            update(Captcha)
            .where(Captcha.id == captcha_id)
            .values(sound=INTL.encrypt(key, sound, about))
        )
    return sound


def answer(captcha_id: str, key: str) -> str:
    """Derive the answer from an id and the SECRET_KEY."""
    digest = hmac.digest(key.encode(), f"captcha:{captcha_id}".encode(), "sha256")
    rest, digits = int.from_bytes(digest), ""
    for _ in range(LENGTH):
        rest, place = divmod(rest, len(ALPHABET))
        digits += ALPHABET[place]
    return digits


def draw(digits: str) -> bytes:
    """Return a PNG of the answer, at twice its displayed size."""
    from captcha.image import ImageCaptcha  # slow: loads a font library

    artist = ImageCaptcha(width=248, height=80, font_sizes=(58, 64, 70))
    artist.character_rotate = (-22, 22)
    artist.character_warp_dx = artist.character_warp_dy = (0.05, 0.2)
    artist.word_offset_dx = 0.1
    # The library makes dark ink transparent; keep the contrast.
    artist.lookup_table = [min(255, brightness * 8) for brightness in range(256)]
    picture = artist.generate(digits, bg_color=(244, 246, 250), fg_color=secrets.choice(INKS))
    return picture.getvalue()


def _spoken(digits: str) -> bytes:
    from captcha.audio import AudioCaptcha

    return bytes(AudioCaptcha().generate(digits))


def _waits(captcha_id: str) -> ColumnElement[bool]:
    """Return the condition that a captcha is unused and in time."""
    return (Captcha.id == captcha_id) & (Captcha.created_at >= func.now() - LIFETIME)


def _sound_key() -> bytes:
    return hmac.digest(current_app.config["SECRET_KEY"].encode(), b"captcha sound", "sha256")
