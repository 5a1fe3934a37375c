"""Secrets stay out of a backup and find their way back."""

from __future__ import annotations

import pytest

from archon_dagster.stores.configuration.redaction import MISSING, PLACEHOLDER, merge, redact

ENV = b"""# the platform
export OPENAI_API_KEY="sk-secret-1" # mine
PLAIN=1

# SUPABASE_SERVICE_KEY=secret-old
SUPABASE_SERVICE_KEY=secret-new
DATABASE_URL=postgresql://me:secret@pa/ss@db:5432/archon?x=1
PRIVATE_SECRET="secret-line-1
secret-line-2=x
secret-line-3"
EMPTY_TOKEN=
OTHER_TOKEN=${SUPABASE_SERVICE_KEY}
not an assignment KEY=secret-leak
X_TOKEN = secret-crlf\r
BAD_PASSWORD="secret-unterminated
"""


def test_no_secret_is_left() -> None:
    content = redact(".env", ENV).content
    assert b"secret-" not in content and b"secret@" not in content
    assert b"postgresql://me:" in content and b"@db:5432/archon?x=1" in content


def test_what_is_no_secret_stays() -> None:
    lines = redact(".env", ENV).content.decode().splitlines()
    assert {"# the platform", "PLAIN=1", "EMPTY_TOKEN=", "OTHER_TOKEN=${SUPABASE_SERVICE_KEY}"} <= set(lines)


def test_the_names_of_what_was_withheld_are_known() -> None:
    assert {"OPENAI_API_KEY", "SUPABASE_SERVICE_KEY", "DATABASE_URL", "PRIVATE_SECRET"} <= set(
        redact(".env", ENV).names
    )


def test_secrets_do_not_show_in_a_repr() -> None:
    assert "secret-new" not in repr(redact(".env", ENV).secrets)


def test_redacting_twice_changes_nothing_more() -> None:
    once = redact(".env", ENV)
    again = redact(".env", once.content)
    assert again.content == once.content
    assert again.secrets == ()


def test_the_live_file_gives_every_value_back() -> None:
    merged = merge(".env", redact(".env", ENV).content, ENV)
    assert merged.content == ENV
    assert merged.unknown == ()


def test_a_value_is_taken_by_its_name_from_another_live_file() -> None:
    live = b"DATABASE_URL=postgresql://you:live@elsewhere/x\nOPENAI_API_KEY=live-key\n# SUPABASE_SERVICE_KEY=comment\n"
    merged = merge(".env", redact(".env", ENV).content, live)
    text = merged.content.decode()
    assert "export OPENAI_API_KEY=live-key\n" in text
    assert "DATABASE_URL=postgresql://me:live@db:5432/archon?x=1\n" in text
    assert "SUPABASE_SERVICE_KEY" in merged.unknown, "a comment's value must not become the real one"


@pytest.mark.parametrize("live", [None, b"", b"UNRELATED=1\n"])
def test_an_unknown_value_is_commented_out_never_set_to_the_placeholder(live: bytes | None) -> None:
    merged = merge(".env", redact(".env", ENV).content, live)
    assert all(line.startswith("#") for line in merged.content.decode().splitlines() if PLACEHOLDER in line)
    assert f"{MISSING}export OPENAI_API_KEY=" in merged.content.decode()


def test_a_file_with_unknown_values_has_the_same_redacted_content() -> None:
    stored = redact(".env", ENV).content
    assert redact(".env", merge(".env", stored, None).content).content == stored


@pytest.mark.parametrize(
    ("path", "content", "redacted"),
    [
        ("docker-compose.yml", "  - OPENAI_API_KEY=abc\n", f"  - OPENAI_API_KEY={PLACEHOLDER}\n"),
        ("compose.yaml", 'POSTGRES_PASSWORD: "abc"\n', f'POSTGRES_PASSWORD: "{PLACEHOLDER}"\n'),
        ("compose.yaml", "API_KEY: ${API_KEY:?set it}\n", "API_KEY: ${API_KEY:?set it}\n"),
        ("config/a.yml", "primary_key: id\nkey: v\nmax_tokens: 5\n", "primary_key: id\nkey: v\nmax_tokens: 5\n"),
        ("config/a.json", '{"a":1,"apiKey":"abc","b":2}', f'{{"a":1,"apiKey":"{PLACEHOLDER}","b":2}}'),
        ("config/a.toml", 'password = "abc"\n', f'password = "{PLACEHOLDER}"\n'),
        ("config/.env.prod", "A_TOKEN=abc\n", f"A_TOKEN={PLACEHOLDER}\n"),
    ],
)
def test_other_files_are_redacted_too(path: str, content: str, redacted: str) -> None:
    assert redact(path, content.encode()).content.decode() == redacted
    assert merge(path, redacted.encode(), content.encode()).content.decode() == content


def test_a_private_key_is_withheld_as_a_whole_and_kept_where_it_is() -> None:
    key = b"-----BEGIN RSA PRIVATE KEY-----\nabc\n-----END RSA PRIVATE KEY-----\n"
    stored = redact("config/tls.pem", key)
    assert b"abc" not in stored.content
    assert merge("config/tls.pem", stored.content, key).content == key
    assert redact("config/tls.pem", merge("config/tls.pem", stored.content, None).content).content == stored.content


def test_bytes_that_are_no_text_survive() -> None:
    raw = b"A=\xff\xfe\nB_KEY=\xe9\n"
    assert merge(".env", redact(".env", raw).content, raw).content == raw
    assert redact("config/logo.png", b"\x89PNG\0\xff").content == b"\x89PNG\0\xff"
