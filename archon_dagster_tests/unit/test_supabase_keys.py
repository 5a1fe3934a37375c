"""Supabase's keys name a role and cannot be made without the secret."""

from __future__ import annotations

import base64
import json

import pytest

from archon_dagster.sandbox.services.keys import ANON, SERVICE, key, role_of


@pytest.mark.parametrize("role", [ANON, SERVICE])
def test_a_key_names_its_role_to_whoever_reads_it(role: str) -> None:
    token = key("secret", role)
    payload = token.split(".")[1]
    assert json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))["role"] == role
    assert role_of("secret", token) == role
    assert token == key("secret", role)


@pytest.mark.parametrize("token", ["", ".", "..", "a.b.c", key("another", SERVICE), key("secret", "postgres"), "é.é.é"])
def test_what_is_not_a_key_of_the_project_has_no_role(token: str) -> None:
    assert role_of("secret", token) is None


def test_claims_cannot_be_exchanged() -> None:
    anon, service = key("secret", ANON).split("."), key("secret", SERVICE).split(".")
    assert role_of("secret", ".".join([anon[0], service[1], anon[2]])) is None
