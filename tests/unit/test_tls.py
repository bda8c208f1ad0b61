"""By which names of its certificate somebody is known, and what becomes of files that are replaced."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from zonewall.errors import ZonewallError
from zonewall.tls import Renewed, TlsFiles, certificate_names, server_context

UUID = "0c8f2f3a-1111-2222-3333-444455556666"


def test_names_of_a_certificate_are_its_common_names_and_alternative_names() -> None:
    subject = ((("organizationName", "o"),), (("commonName", f"hv1 id:{UUID}"),))
    alternative = (("DNS", "hv1.example"), ("IP Address", "192.0.2.1"), ("email", "x@example"))
    assert certificate_names({"subject": subject, "subjectAltName": alternative}) == {
        f"hv1 id:{UUID}",
        "hv1",
        "hv1.example",
        "192.0.2.1",
    }
    assert certificate_names(None) == frozenset()


@pytest.mark.parametrize("name", ["hv1 ", "hv1 id:", "hv1 id:mine", f"hv1 id:{UUID[1:]}", f"h id:{UUID}v1"])
def test_a_name_that_only_begins_like_a_hosts_is_not_the_hosts(name: str) -> None:
    assert certificate_names({"subject": ((("commonName", name),),)}) == {name}


@pytest.fixture
def files(tmp_path: Path) -> TlsFiles:
    made = TlsFiles(tmp_path / "key", tmp_path / "certificate", tmp_path / "certificate")
    words = ["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=ctl", "-days", "2"]
    _openssl(*words, "-keyout", str(made.private_key), "-out", str(made.certificate))
    return made


def _openssl(*words: str) -> None:
    subprocess.run(["openssl", *words], check=True, capture_output=True, timeout=60)


def test_of_files_that_are_replaced_it_is_said_whether_they_are_used(files: TlsFiles) -> None:
    renewed, whole = Renewed(files, server_context), files.certificate.read_text()
    first = renewed.current()
    files.certificate.write_text(whole[:300])
    with capture_logs() as said:
        assert [renewed.current(), renewed.current()] == [first, first]
    assert [one["event"] for one in said] == ["certificates_not_used"]
    assert str(files.certificate) in said[0]["reason"]
    files.certificate.write_text(whole)
    with capture_logs() as said:
        assert renewed.current() is not first
    assert [one["event"] for one in said] == ["certificates_replaced"]


def test_a_key_that_needs_a_password_is_refused_and_asks_nobody(files: TlsFiles) -> None:
    locked = str(files.private_key)
    _openssl("rsa", "-aes128", "-passout", "pass:secret", "-in", locked, "-out", locked)
    with pytest.raises(ZonewallError, match="the private key is encrypted"):
        server_context(files)
