"""Masks of personal data: 138****1234, 420***********1234."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

STAR = "*"
# At least this many characters are hidden, whatever a mask would show.
FEWEST_HIDDEN = 4


def mask_phone(number: str | None) -> str:
    """Show the first three and the last four digits: 138****1234."""
    return _mask_middle(number, 3, 4)


def mask_identity(number: str | None) -> str:
    """Show the first three and the last four characters of an identity or passport number."""
    return _mask_middle(number, 3, 4)


def mask_bank(number: str | None) -> str:
    """Show the first four and the last four digits of a bank account, without blanks."""
    return _mask_middle("".join((number or "").split()), 4, 4)


def mask_email(address: str | None) -> str:
    """Show the first two characters of the local part, and the host: zh***@example.com."""
    name, at, host = (address or "").partition("@")
    if not at:
        return STAR * 3 if name else ""
    shown = name[: 2 if len(name) > 3 else 1 if len(name) > 1 else 0]
    return f"{shown}{STAR * 3}@{host}"


# Masks by the last part of a field's name.
MASKS: Mapping[str, Callable[[str | None], str]] = {
    "phone": mask_phone,
    "mobile": mask_phone,
    "telephone": mask_phone,
    "identity_no": mask_identity,
    "bank_account": mask_bank,
    "bank_account_no": mask_bank,
    "email": mask_email,
}


def mask_of(field: str) -> Callable[[str | None], str] | None:
    """Return the mask of a field of this name, such as ``representative_phone``, or None."""
    for name, mask in MASKS.items():
        if field == name or field.endswith(f"_{name}"):
            return mask
    return None


def masked(value: Any) -> Any:
    """Mask personal data in a value to be logged, at any depth.

    Values of mappings are masked by their keys; anything else is returned unchanged.
    """
    if isinstance(value, Mapping):
        return {key: _masked_field(str(key), item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [masked(item) for item in value]
    return value


def _masked_field(key: str, item: Any) -> Any:
    mask = mask_of(key)
    if mask is None:
        return masked(item)
    if isinstance(item, str):
        return mask(item)
    if isinstance(item, list | tuple):  # [before, after]
        return [mask(part) if isinstance(part, str) else masked(part) for part in item]
    return masked(item)


def _mask_middle(text: str | None, first: int, last: int) -> str:
    """Hide the middle; a short text shows less, so that the rest cannot be guessed."""
    text = (text or "").strip()
    while first + last and len(text) - first - last < FEWEST_HIDDEN:
        first, last = max(first - 1, 0), max(last - 1, 0)
    hidden = len(text) - first - last
    return text[:first] + STAR * hidden + text[len(text) - last :]
