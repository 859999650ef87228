"""Errors of signatures, certificates, keys and tokens."""

from __future__ import annotations

from flask_babel import lazy_gettext as _

from app.domain.errors import RuleError


class PkiError(RuleError):
    """Base of the PKI's errors; `code` identifies the cause."""

    code = "pki"


def in_both(chinese: str, english: str) -> str:
    """Return a sentence for a terminal, where no language is chosen, in both."""
    return f"{chinese}。{english[0].upper()}{english[1:]}."


class ContentInvalid(PkiError):
    """The content has no canonical form; `code` says why."""

    code = "content"


class SignatureRefused(PkiError):
    """A signature is not acceptable; `code` names the failed check."""

    code = "signature"

    def __init__(self, code: str = "") -> None:
        super().__init__(_("The signature is not valid"), code=code)


class CertificateRefused(PkiError):
    """A certificate may not be used for this; `code` says why."""

    code = "certificate"


class RequestRefused(PkiError):
    """A certificate request is not acceptable; `code` says why."""

    code = "request"


class SuiteMissing(PkiError):
    """The suite's library is not installed."""

    code = "suite_missing"

    def __init__(self) -> None:
        super().__init__(_("The algorithms SM2, SM3 and SM4 are not installed here"))


class TokenError(PkiError):
    """The token failed."""

    code = "token"


class TokenAbsent(TokenError):
    """No such token is present, or its driver cannot be loaded."""

    code = "token_absent"

    def __init__(self) -> None:
        super().__init__(_("The USBKey is not plugged in, or its driver is not installed"))


class PinIncorrect(TokenError):
    """The PIN is wrong; `tries_left` more tries are allowed."""

    code = "pin_incorrect"

    def __init__(self, tries_left: int) -> None:
        self.tries_left = tries_left
        super().__init__(_("The PIN is wrong; %(tries)d tries are left", tries=tries_left))


class PinLocked(TokenError):
    """Too many wrong PINs; only the registry can unlock the token."""

    code = "pin_locked"

    def __init__(self) -> None:
        super().__init__(_("The USBKey is locked after too many wrong PINs"))


class PinKnownWrong(TokenError):
    """The token has refused this PIN before, and is not asked again."""

    code = "pin_known_wrong"

    def __init__(self) -> None:
        super().__init__(_("The token has refused this PIN before; it is not tried again"))


class PinRefused(TokenError):
    """The new PIN is not acceptable."""

    code = "pin_refused"

    def __init__(self) -> None:
        super().__init__(_("Choose a PIN of 6 to 16 digits or letters, not the factory PIN"))


class KeyMissing(TokenError):
    """The token holds no such key."""

    code = "key_missing"

    def __init__(self) -> None:
        super().__init__(_("The USBKey does not hold the key of this certificate"))


class SignerAbsent(PkiError):
    """The signing process does not answer."""

    code = "signer_absent"

    def __init__(self) -> None:
        super().__init__(
            _("The registry's signing service is not available now; try again in a few minutes")
        )


class SignerFailed(PkiError):
    """The signing process could not sign; its log says why."""

    code = "signer_failed"

    def __init__(self, code: str = "") -> None:
        super().__init__(_("The registry's signing service could not sign"), code=code)


class Refused(PkiError):
    """The signing process does not do what was asked; `code` says why."""

    code = "refused"

    def __init__(self, code: str) -> None:
        super().__init__(code, code=code)
