"""验证码: a few digits to be read or heard; the answer stays on the server and serves once."""

from __future__ import annotations

import secrets
import unicodedata
from datetime import timedelta

from sqlalchemy import delete, func, insert, select

from app.extensions import db
from app.models import Captcha

LIFETIME = timedelta(minutes=3)
LENGTH = 4
ALPHABET = "023456789"  # Digits can be spoken, too; a slanted 1 looks like a 7.
INKS = ((24, 58, 120, 255), (16, 92, 84, 255), (112, 40, 48, 255), (72, 52, 120, 255))


def issue() -> str:
    """Make a new one and return its id, which the browser may know; commits by itself."""
    captcha_id = secrets.token_urlsafe(24)
    answer = "".join(secrets.choice(ALPHABET) for _ in range(LENGTH))
    with db.engine.begin() as connection:
        connection.execute(delete(Captcha).where(Captcha.created_at < func.now() - LIFETIME))
        connection.execute(insert(Captcha).values(id=captcha_id, answer=answer))
    return captcha_id


def use(captcha_id: str, typed: str) -> bool:
    """Tell whether the answer is right; whatever it was, this code can never be used again."""
    with db.engine.begin() as connection:
        row = connection.execute(
            delete(Captcha)
            .where(Captcha.id == captcha_id)
            .returning(Captcha.answer, Captcha.created_at >= func.now() - LIFETIME)
        ).first()
    # Chinese input methods type full-width digits easily; they are the same answer.
    typed = unicodedata.normalize("NFKC", typed[:20]).strip().casefold()
    return bool(row and row[1] and secrets.compare_digest(row[0].encode(), typed.encode()))


def answer_of(captcha_id: str) -> str | None:
    """Return the answer of a code that still waits, to draw or speak it."""
    with db.engine.connect() as connection:
        return connection.scalar(
            select(Captcha.answer).where(
                Captcha.id == captcha_id, Captcha.created_at >= func.now() - LIFETIME
            )
        )


def draw(answer: str) -> bytes:
    """Return a PNG of the answer, twice as large as it is shown: people have to read it."""
    from captcha.image import ImageCaptcha  # Loads a font library: only where it is needed.

    artist = ImageCaptcha(width=248, height=80, font_sizes=(58, 64, 70))
    artist.character_rotate = (-22, 22)
    artist.character_warp_dx = artist.character_warp_dy = (0.05, 0.2)
    artist.word_offset_dx = 0.1
    # The library makes dark ink transparent; ours is to stand out from the paper.
    artist.lookup_table = [min(255, brightness * 8) for brightness in range(256)]
    picture = artist.generate(answer, bg_color=(244, 246, 250), fg_color=secrets.choice(INKS))
    return picture.getvalue()


def speak(answer: str) -> bytes:
    """Return a WAV of the answer, digit by digit."""
    from captcha.audio import AudioCaptcha

    return bytes(AudioCaptcha().generate(answer))
