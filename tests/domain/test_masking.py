"""Masking of personal data."""

from __future__ import annotations

import pytest

from app.domain.masking import (
    mask_bank,
    mask_email,
    mask_identity,
    mask_phone,
    masked,
)


@pytest.mark.parametrize(
    ("mask", "text", "shown"),
    [
        (mask_phone, "13812341234", "138****1234"),
        (mask_phone, "", ""),
        (mask_phone, None, ""),
        (mask_phone, "027-87654321", "027*****4321"),
        (mask_identity, "420106199001011234", "420***********1234"),
        (mask_identity, "E12345678", "E1****678"),
        (mask_bank, "6222 0200 1234 5678 123", "6222***********8123"),
        (mask_email, "zhangsan@example.com", "zh***@example.com"),
        (mask_email, "z@example.com", "***@example.com"),
        (mask_email, "no address", "***"),
    ],
)
def test_the_middle_is_hidden(mask, text, shown):
    assert mask(text) == shown


@pytest.mark.parametrize("mask", [mask_phone, mask_identity, mask_bank])
@pytest.mark.parametrize("length", range(1, 12))
def test_a_short_number_shows_few_digits(mask, length):
    text = "123456789012"[:length]
    shown = mask(text)
    assert len(shown) == length
    assert shown.count("*") >= min(4, length)


def test_a_record_is_masked_by_its_keys_however_deep():
    record = {
        "before": {"representative_phone": "13812341234", "name": "甲"},
        "changes": {"bank_account": ["6222020012345678123", None], "reason": "13812341234"},
        "people": [{"identity_no": "420106199001011234"}],
    }
    assert masked(record) == {
        "before": {"representative_phone": "138****1234", "name": "甲"},
        "changes": {"bank_account": ["6222***********8123", None], "reason": "13812341234"},
        "people": [{"identity_no": "420***********1234"}],
    }
