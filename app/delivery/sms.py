"""Text messages by an HTTP gateway: a signed JSON POST with the message's id.

    POST <SMS_URL>   Content-Type: application/json
    X-Registry-Time: 1763600000          seconds since 1970; the gateway refuses old ones
    X-Registry-Signature: hex of HMAC-SHA256(SMS_KEY, time + "." + body)
    {"id": "outbox-17", "to": "13800000000", "text": "…", "purpose": "activation_code"}

2xx is success, 409 a duplicate id.  Other 4xx refuse the message permanently, except those about
the client (401, 403, 404, 408, 425, 429), which are retried like anything else.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import time

import urllib3

from app.delivery.transport import Refused, Unavailable
from app.operations.records.outbox import Claimed
from config import Settings

TIMEOUT = urllib3.Timeout(connect=5.0, read=15.0)
_OF_US = {401, 403, 404, 408, 425, 429}


class SmsTransport:
    """Posts to the gateway at SMS_URL."""

    def __init__(self, settings: Settings) -> None:
        self.url, self.key = settings.sms_url, settings.sms_key.encode()
        self._pool = urllib3.PoolManager(retries=False)

    def hand_over(self, message: Claimed) -> None:
        """Send one text message."""
        content = {
            "id": message.reference,
            "to": message.recipient,
            "text": message.body,
            "purpose": message.purpose,
        }
        body = json.dumps(content, ensure_ascii=False).encode()
        try:
            # The body is not read: the status suffices, and a body may never end.
            answer = self._pool.request(
                "POST",
                self.url,
                body=body,
                headers=self._headers(body),
                timeout=TIMEOUT,
                redirect=False,
                preload_content=False,
            )
        except urllib3.exceptions.HTTPError as error:
            raise Unavailable(type(error).__name__) from error
        status = answer.status
        answer.close()
        if 200 <= status < 300 or status == 409:
            return
        kind = Refused if 400 <= status < 500 and status not in _OF_US else Unavailable
        raise kind(f"HTTP {status}")

    def close(self) -> None:
        """Close the connections."""
        self._pool.clear()

    def _headers(self, body: bytes) -> dict[str, str]:
        moment = str(int(time.time()))
        signed = hmac.new(self.key, moment.encode() + b"." + body, hashlib.sha256).hexdigest()
        return {
            "Content-Type": "application/json; charset=utf-8",
            "X-Registry-Time": moment,
            "X-Registry-Signature": signed,
        }
