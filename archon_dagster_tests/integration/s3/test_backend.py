"""What is special about S3: parts, versions, digests, what others put into the bucket, and closing."""

from __future__ import annotations

import gc
import io
import logging
import tracemalloc
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from archon_dagster.errors import ConfigurationError, RepositoryError
from archon_dagster.repository.backends.base import ObjectChanged, ObjectUnreadable
from archon_dagster.repository.backends.opening import open_backend
from archon_dagster.repository.backends.s3 import sweeping, writing
from archon_dagster.repository.backends.s3.address import Address
from archon_dagster.repository.backends.s3.backend import S3Backend
from archon_dagster.repository.backends.s3.client import make_client
from archon_dagster.repository.backends.s3.reading import ObjectStream
from archon_dagster.repository.repository import Repository
from archon_dagster_tests.integration.s3.faulty_proxy import FaultyProxy
from archon_dagster_tests.integration.s3.servers import Server, able, fresh_bucket_name

MIB = 1 << 20


def raw(backend: S3Backend, key: str) -> dict[str, str]:
    return backend._bucket.object(key)


def test_a_large_object_goes_up_in_parts_and_comes_back(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(writing, "PART", 5 * MIB)
    monkeypatch.setattr(writing, "IN_PARTS_FROM", 12 * MIB)
    content = bytes(range(256)) * (12 * MIB // 256) + b"and a bit"
    backend = server.backend()
    etag = backend.put("cache/large", content)
    assert etag.strip('"').endswith("-3")
    assert backend.get("cache/large").data == content
    assert backend.read_start("cache/large", 10) == content[:10]


def test_an_object_whose_etag_changes_when_it_is_touched_is_still_the_same(server: Server) -> None:
    backend = server.backend()
    client, name = backend._bucket.client, raw(backend, "locks/x")
    upload = client.create_multipart_upload(**name)["UploadId"]  # its etag is not that of the same bytes in one piece
    part = {"PartNumber": 1, "ETag": client.upload_part(**name, UploadId=upload, PartNumber=1, Body=b"mine")["ETag"]}
    client.complete_multipart_upload(**name, UploadId=upload, MultipartUpload={"Parts": [part]})
    etag = backend.get("locks/x").info.etag
    backend.touch("locks/x", if_match=etag)
    assert backend.get("locks/x").info.etag != etag
    backend.touch("locks/x", if_match=etag)
    backend.replace("locks/x", b"next", if_match=etag)
    with pytest.raises(ObjectChanged):
        backend.touch("locks/x", if_match=etag)
    assert backend.get("locks/x").data == b"next"


def uploads(backend: S3Backend, key: str) -> list[Any]:
    """Unfinished uploads whose name begins so."""
    client, address = backend._bucket.client, backend._bucket.address
    answer = client.list_multipart_uploads(Bucket=address.bucket, Prefix=address.prefix + key)
    return list(answer.get("Uploads", ()))


def test_parts_that_cannot_be_sent_leave_no_upload_behind(
    strict: Server, proxy: FaultyProxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(writing, "PART", 5 * MIB)
    monkeypatch.setattr(writing, "IN_PARTS_FROM", 12 * MIB)
    backend = strict.at(proxy.endpoint).backend()
    proxy.fail("broken", method="PUT", containing="partNumber=2")
    with pytest.raises(RepositoryError, match="error of its own"):
        backend.put("cache/large", bytes(13 * MIB))
    assert not uploads(backend, "cache/large")
    assert backend.exists("cache/large") is None


def test_an_upload_that_a_dead_writer_left_is_swept_and_one_in_progress_is_not(
    strict: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    backend = strict.backend()  # moto says of every upload that it was begun in 2010
    backend._bucket.client.create_multipart_upload(**raw(backend, "chunks/ab/cd"))
    assert uploads(backend, "chunks/ab/cd")
    if strict.kind == "endpoint" and not uploads(backend, "chunks/"):
        pytest.skip("the endpoint that is named lists uploads by their whole name only (MinIO, which sweeps by itself)")
    assert backend.sweep("chunks/") == 0
    monkeypatch.setattr(sweeping, "_ABANDONED_AFTER", timedelta(days=-1))
    assert backend.sweep("backups/") == 0
    assert backend.sweep("chunks/") == 1
    assert backend.sweep("chunks/") == 0


def test_an_object_that_was_changed_behind_our_back_is_not_believed(server: Server) -> None:
    backend = server.backend()
    backend.put("cache/x", b"content")
    digest = backend._bucket.client.head_object(**raw(backend, "cache/x"))["Metadata"]
    backend._bucket.client.put_object(**raw(backend, "cache/x"), Body=b"CONTENT", Metadata=digest)
    with pytest.raises(ObjectUnreadable, match="other bytes than were written"):
        backend.get("cache/x")


def test_an_object_that_another_tool_copied_here_is_read(server: Server) -> None:
    backend = server.backend()
    backend._bucket.client.put_object(**raw(backend, "cache/x"), Body=b"content")
    assert backend.get("cache/x").data == b"content"


def test_folder_markers_and_hidden_objects_are_not_listed_and_others_are(server: Server) -> None:
    backend = server.backend()
    prefix = backend._bucket.address.prefix
    for key in ("", "backups/", "backups/.x", ".archon/probe", "notes of mine.txt"):
        backend._bucket.client.put_object(Bucket=server.bucket, Key=prefix + key, Body=b"")
    assert [info.key for info in backend.list("")] == ["notes of mine.txt"]


def test_two_prefixes_of_a_bucket_are_two_repositories(server: Server) -> None:
    one, two = server.backend(), server.backend()
    one.put("a/b", b"1")
    assert list(two.list("")) == []


def test_a_repository_is_opened_by_its_address_and_the_environment(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in (("ENDPOINT", server.endpoint), ("KEY", server.key), ("SECRET", server.secret)):
        monkeypatch.setenv(f"ARCHON_S3_{name}", value)
    url = f"s3://{server.bucket}/{server.backend()._bucket.address.prefix}"
    assert Repository.open(url, create=True).config.id == Repository.open(url).config.id
    assert open_backend(url).describe() == f"{url.rstrip('/')} at {server.endpoint}"


def test_a_missing_bucket_is_named_and_never_made(server: Server) -> None:
    backend = S3Backend(Address("no-such-bucket-here", ""), server.settings())
    with pytest.raises(RepositoryError, match=r"no such bucket.*no-such-bucket-here") as caught:
        Repository.on(backend, create=True)
    assert "make the bucket" in str(caught.value)
    with pytest.raises(RepositoryError, match="no such bucket"):
        backend.put("x", b"")


def test_a_bucket_with_versions_says_that_deleting_frees_no_space(
    server: Server, caplog: pytest.LogCaptureFixture
) -> None:
    backend = server.backend()
    client, bucket = backend._bucket.client, fresh_bucket_name()
    with able(server, "let this key make a bucket that keeps versions"):
        client.create_bucket(Bucket=bucket)
        client.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})
    versioned = S3Backend(Address(bucket, "x/"), server.settings())
    versioned.put("a/b", b"1")
    with caplog.at_level(logging.INFO):
        versioned.delete("a/b")
        versioned.delete("a/b")
    assert [record.message.count("lifecycle rule") for record in caplog.records] == [1]
    assert versioned.exists("a/b") is None
    assert list(versioned.list("")) == []
    versioned.put("a/b", b"2", if_absent=True)
    assert versioned.get("a/b").data == b"2"


def test_a_locked_version_survives_what_the_backend_does(server: Server) -> None:
    backend = server.backend()
    client, bucket = backend._bucket.client, fresh_bucket_name()
    rule = {"DefaultRetention": {"Mode": "GOVERNANCE", "Days": 1}}
    with able(server, "let this key make a bucket that locks objects"):
        client.create_bucket(Bucket=bucket, ObjectLockEnabledForBucket=True)
        client.put_object_lock_configuration(
            Bucket=bucket, ObjectLockConfiguration={"ObjectLockEnabled": "Enabled", "Rule": rule}
        )
    locked = S3Backend(Address(bucket, ""), server.settings(ARCHON_S3_CHECKSUMS="when_supported"))
    locked.put("chunks/ab/cd", b"content")
    version = client.list_object_versions(Bucket=bucket, Prefix="chunks/")["Versions"][0]["VersionId"]
    locked.delete("chunks/ab/cd")
    assert locked.exists("chunks/ab/cd") is None
    kept = client.get_object(Bucket=bucket, Key="chunks/ab/cd", VersionId=version)
    with kept["Body"] as body:
        assert body.read() == b"content"
    with pytest.raises(client.exceptions.ClientError, match=r"AccessDenied|WORM protected"):  # AWS, MinIO
        client.delete_object(Bucket=bucket, Key="chunks/ab/cd", VersionId=version)


@pytest.mark.parametrize("mode", ["when_required", "when_supported"])
def test_both_checksum_modes_work(server: Server, mode: str) -> None:
    backend = server.backend(ARCHON_S3_CHECKSUMS=mode)
    backend.put("a/b", b"content" * 1000)
    assert backend.get("a/b").data == b"content" * 1000


def test_many_objects_use_few_connections(strict: Server, proxy: FaultyProxy) -> None:
    backend = strict.at(proxy.endpoint).backend()
    for number in range(20):
        backend.put(f"a/{number}", b"content")
        assert backend.get(f"a/{number}").data == b"content"
    backend.put("a/large", bytes(MIB))
    assert backend.read_start("a/large", 5) == bytes(5)
    assert len(list(backend.list(""))) == 21
    assert proxy.connections == 1


def test_a_backend_that_is_forgotten_closes_its_connections(strict: Server) -> None:
    backend = strict.backend()
    backend.put("a/b", b"content")
    backend.read_start("a/b", 1)
    del backend
    gc.collect()  # an unclosed socket would be an error here


def test_a_closed_backend_can_be_used_again(strict: Server) -> None:
    backend = strict.backend()
    backend.put("a/b", b"content")
    backend.close()
    assert backend.get("a/b").data == b"content"
    backend.close()


def test_reading_a_stream_takes_no_more_memory_than_its_blocks(strict: Server) -> None:
    backend = strict.backend()
    backend.put("cache/large", bytes(48 * MIB))
    tracemalloc.start()
    try:
        with ObjectStream(backend._bucket, "cache/large") as stream:
            while stream.read(MIB):
                pass
        assert tracemalloc.get_traced_memory()[1] < 8 * MIB
    finally:
        tracemalloc.stop()


def test_wrong_settings_are_named_and_nothing_secret_is_shown(strict: Server) -> None:
    with pytest.raises(ConfigurationError, match="ARCHON_S3_READ_TIMEOUT") as caught:
        strict.settings(ARCHON_S3_READ_TIMEOUT="soon")
    assert strict.secret not in str(caught.value)
    assert strict.secret not in repr(strict.settings())
    assert strict.key not in repr(strict.settings())


def test_a_profile_s_key_is_used(strict: Server, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    credentials = f"[backup]\naws_access_key_id = {strict.key}\naws_secret_access_key = {strict.secret}\n"
    (tmp_path / "credentials").write_text(credentials)
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "credentials"))
    backend = strict.backend(ARCHON_S3_KEY=None, ARCHON_S3_SECRET=None, ARCHON_S3_PROFILE="backup")
    backend.put("a/b", b"content")
    backend.close()
    unknown = strict.backend(ARCHON_S3_KEY=None, ARCHON_S3_SECRET=None, ARCHON_S3_PROFILE="nobody")
    with pytest.raises(RepositoryError, match="no such profile"):
        unknown.put("a/b", b"content")
    none = strict.backend(ARCHON_S3_KEY=None, ARCHON_S3_SECRET=None)
    with pytest.raises(RepositoryError, match="there are no credentials"):
        none.put("a/b", b"content")
    none.close()


def test_a_role_is_assumed_with_the_key_s_rights(servers: dict[str, Server], monkeypatch: pytest.MonkeyPatch) -> None:
    moto = servers["moto"]
    monkeypatch.setenv("AWS_ENDPOINT_URL_STS", moto.endpoint)
    settings = moto.settings(ARCHON_S3_ROLE_ARN="arn:aws:iam::123456789012:role/backup")
    client = make_client(settings)
    try:
        client.put_object(Bucket=moto.bucket, Key="role/x", Body=io.BytesIO(b"content"))
        assert client._request_signer._credentials.access_key.startswith("ASIA")
    finally:
        client.close()
