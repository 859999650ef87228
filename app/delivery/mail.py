"""Mail by SMTP: one connection per run, opened at the first message and again after a failure."""

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

from app.delivery.transport import DeliveryError, Refused, Unavailable
from app.operations.records.outbox import Claimed
from config import MailServer, Settings

REPLY_TIMEOUT = 20.0  # seconds for one reply of the server
MESSAGE_TIMEOUT = 120.0  # seconds for a whole message


class MailTransport:
    """Sends through the mail server of the settings."""

    def __init__(self, settings: Settings) -> None:
        self.server = MailServer.read(settings.mail_url)
        self.sender = settings.mail_from
        self._connection: smtplib.SMTP | None = None

    def hand_over(self, message: Claimed) -> None:
        """Send one mail.  Raises Refused for a permanent error of this mail, Unavailable for any other."""
        try:
            with self._deadline():
                connection = self._connection or self._connect()
                self._connection = connection
                connection.send_message(self._mime_of(message), self.sender, [message.recipient])
        except smtplib.SMTPRecipientsRefused as error:
            code, words = next(iter(error.recipients.values()))
            self._reset()
            raise _classified(code, words) from error
        except smtplib.SMTPDataError as error:
            self._reset()
            raise _classified(error.smtp_code, error.smtp_error) from error
        except smtplib.SMTPResponseException as error:
            # About the connection or the sender, not this mail: retry.
            self.close()
            raise Unavailable(str(error.smtp_code), _text(error.smtp_error)) from error
        except (smtplib.SMTPException, OSError, ValueError) as error:
            self.close()
            raise Unavailable(type(error).__name__, str(error)) from error

    def close(self) -> None:
        """Quit and close the connection."""
        connection, self._connection = self._connection, None
        if connection is not None:
            with contextlib.suppress(smtplib.SMTPException, OSError):
                connection.quit()
            connection.close()

    def _connect(self) -> smtplib.SMTP:
        server = self.server
        # The system's CAs, unless MAIL_URL names a file.
        context = ssl.create_default_context(cafile=server.ca or None)
        if server.tls == "implicit":
            connection: smtplib.SMTP = smtplib.SMTP_SSL(
                server.host, server.port, timeout=REPLY_TIMEOUT, context=context
            )
        else:
            connection = smtplib.SMTP(server.host, server.port, timeout=REPLY_TIMEOUT)
        self._connection = connection  # for `close`, should the rest fail
        if server.tls == "starttls":
            connection.starttls(context=context)
        if server.user:
            connection.login(server.user, server.password)
        return connection

    def _reset(self) -> None:
        """Reset the SMTP session for the next mail, or close it."""
        try:
            if self._connection is not None:
                self._connection.rset()
        except (smtplib.SMTPException, OSError):
            self.close()

    @contextlib.contextmanager
    def _deadline(self) -> Iterator[None]:
        """Abort the connection after MESSAGE_TIMEOUT, even where each reply comes in time."""
        clock = threading.Timer(MESSAGE_TIMEOUT, self._abort)
        clock.daemon = True
        clock.start()
        try:
            yield
        finally:
            clock.cancel()

    def _abort(self) -> None:
        open_socket = self._connection.sock if self._connection else None
        if open_socket is not None:
            with contextlib.suppress(OSError):
                open_socket.shutdown(socket.SHUT_RDWR)

    def _mime_of(self, message: Claimed) -> EmailMessage:
        """Compose the mail; its Message-ID is the same at each attempt."""
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


def _classified(code: int, words: bytes | str) -> DeliveryError:
    kind = Refused if 500 <= code < 600 else Unavailable
    return kind(str(code), _text(words))


def _text(words: bytes | str) -> str:
    return words.decode("utf-8", "replace") if isinstance(words, bytes) else words
