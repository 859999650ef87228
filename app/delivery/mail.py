"""Mail by SMTP: one connection for a run, opened at the first message and anew after a failure."""

from __future__ import annotations

import contextlib
import smtplib
import socket
import ssl
import threading
from collections.abc import Iterator
from email.headerregistry import Address
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import formatdate

from app.delivery.transport import NotTaken, Refused, Unavailable
from app.operations.records.outbox import Claimed
from config import MailServer, Settings

STEP = 20.0  # Seconds that the server may take for one answer,
WHOLE = 120.0  # and for a whole message, however it drips.


class MailTransport:
    """Sends through the mail server of the settings."""

    def __init__(self, settings: Settings) -> None:
        self.server = MailServer.read(settings.mail_url)
        self.sender = settings.mail_from
        self._connection: smtplib.SMTP | None = None

    def hand_over(self, message: Claimed) -> None:
        """Send one mail.  A permanent answer about this mail refuses it, all else may pass."""
        try:
            with self._in_time():
                connection = self._connection or self._connect()
                self._connection = connection
                connection.send_message(self._written(message), self.sender, [message.recipient])
        except smtplib.SMTPRecipientsRefused as error:
            code, words = next(iter(error.recipients.values()))
            self._reset()
            raise _judged(code, words) from error
        except smtplib.SMTPDataError as error:
            self._reset()
            raise _judged(error.smtp_code, error.smtp_error) from error
        except smtplib.SMTPResponseException as error:
            # The server's opinion of us, not of the mail: its operator, or ours, can mend that.
            self.close()
            raise Unavailable(str(error.smtp_code), _text(error.smtp_error)) from error
        except (smtplib.SMTPException, OSError, ValueError) as error:
            self.close()
            raise Unavailable(type(error).__name__, str(error)) from error

    def close(self) -> None:
        """Hang up, politely where the server still listens."""
        connection, self._connection = self._connection, None
        if connection is not None:
            with contextlib.suppress(smtplib.SMTPException, OSError):
                connection.quit()
            connection.close()

    def _connect(self) -> smtplib.SMTP:
        server = self.server
        # The system's authorities unless the address names a file of its own.
        context = ssl.create_default_context(cafile=server.ca or None)
        if server.tls == "implicit":
            connection: smtplib.SMTP = smtplib.SMTP_SSL(
                server.host, server.port, timeout=STEP, context=context
            )
        else:
            connection = smtplib.SMTP(server.host, server.port, timeout=STEP)
        self._connection = connection  # So that whatever fails now is closed.
        if server.tls == "starttls":
            connection.starttls(context=context)
        if server.user:
            connection.login(server.user, server.password)
        return connection

    def _reset(self) -> None:
        """Make the connection ready for the next mail, or drop it."""
        try:
            if self._connection is not None:
                self._connection.rset()
        except (smtplib.SMTPException, OSError):
            self.close()

    @contextlib.contextmanager
    def _in_time(self) -> Iterator[None]:
        """Cut the line when the whole takes too long: each single answer may come in time."""
        clock = threading.Timer(WHOLE, self._cut)
        clock.daemon = True
        clock.start()
        try:
            yield
        finally:
            clock.cancel()

    def _cut(self) -> None:
        held = self._connection.sock if self._connection else None
        if held is not None:
            with contextlib.suppress(OSError):
                held.shutdown(socket.SHUT_RDWR)

    def _written(self, message: Claimed) -> EmailMessage:
        """Write the mail; its Message-ID is the same each time it is sent."""
        address = Address(addr_spec=self.sender)
        mail = EmailMessage(policy=SMTP)
        mail["From"] = Address("全国碳排放权注册登记系统", addr_spec=self.sender)
        mail["To"] = message.recipient
        mail["Subject"] = message.subject
        mail["Date"] = formatdate(localtime=True)
        mail["Message-ID"] = f"<{message.reference}@{address.domain}>"
        mail["Auto-Submitted"] = "auto-generated"
        mail.set_content(message.body, charset="utf-8", cte="base64")
        return mail


def _judged(code: int, words: bytes | str) -> NotTaken:
    kind = Refused if 500 <= code < 600 else Unavailable
    return kind(str(code), _text(words))


def _text(words: bytes | str) -> str:
    return words.decode("utf-8", "replace") if isinstance(words, bytes) else words
