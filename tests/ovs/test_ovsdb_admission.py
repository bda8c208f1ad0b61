"""Who connects is checked on real connections, by system-id and by certificate."""

from __future__ import annotations

import contextlib
import json
import socket
import ssl
import subprocess
import warnings
from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest

from support.ovsdb_host import DatabaseHost, database_host, declared_hosts, follower, free_port
from zonewall.ovsdb.patience import Patience
from zonewall.placement.observations import (
    HostLost,
    HostRefused,
    HostSeen,
    HostUnreachable,
    Observation,
    SnapshotComplete,
)
from zonewall.reconciler.have_shown import Certificates
from zonewall.tls import TlsFiles

pytestmark = pytest.mark.ovs


class Authority:
    """Certificates made by ovs-pki(8)."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._pki("init", "--force")

    def issue(self, name: str, kind: str) -> TlsFiles:
        self._pki("-u", "req+sign", name, kind)
        other = "switch" if kind == "controller" else "controller"
        return TlsFiles(
            self.folder / f"{name}-privkey.pem",
            self.folder / f"{name}-cert.pem",
            self.folder / f"pki/{other}ca/cacert.pem",
        )

    def _pki(self, *words: str) -> None:
        command = [
            "ovs-pki",
            f"--dir={self.folder}/pki",
            f"--log={self.folder}/pki.log",
            "-B",
            "2048",
            *words,
        ]
        subprocess.run(command, cwd=self.folder, check=True, capture_output=True)


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture(scope="module")
def controller(authority: Authority) -> TlsFiles:
    return authority.issue("ctl", "controller")


@pytest.fixture(scope="module")
def hv1(authority: Authority) -> TlsFiles:
    return authority.issue("hv1", "switch")


@contextlib.contextmanager
def tls_host(folder: Path, system_id: str, files: TlsFiles, remote: str = "") -> Iterator[DatabaseHost]:
    host = DatabaseHost(folder, system_id)
    host.remotes = [remote] if remote else []
    host.options = [
        f"--private-key={files.private_key}",
        f"--certificate={files.certificate}",
        f"--ca-cert={files.authority}",
    ]
    try:
        host.start()
        yield host
    finally:
        host.stop()


def test_an_unknown_system_id_is_refused_once_with_what_to_do(tmp_path: Path) -> None:
    with database_host(tmp_path / "x", "stranger") as host, follower(declared_hosts("hv1")) as ear:
        host.connect_to(f"tcp:127.0.0.1:{ear.service.listen('127.0.0.1', 0, None)}")
        refused = ear.until_a(HostRefused)
        assert refused.reason == "system-id 'stranger' is no host of the inventory; add it under hosts:"
        assert refused.peer == "127.0.0.1"
        assert ear.quiet(2.5) == []
        host.vsctl("set", "Open_vSwitch", ".", "external_ids:system-id=hv1")
        ear.until_a(SnapshotComplete, host="hv1")


def test_a_database_without_a_system_id_is_refused(tmp_path: Path) -> None:
    with database_host(tmp_path / "x", None) as host, follower(declared_hosts("hv1")) as ear:
        host.connect_to(f"tcp:127.0.0.1:{ear.service.listen('127.0.0.1', 0, None)}")
        assert "has no external_ids:system-id" in ear.until_a(HostRefused).reason


def test_of_two_hosts_with_one_system_id_the_newcomer_is_refused(tmp_path: Path) -> None:
    with (
        database_host(tmp_path / "first", "hv1") as first,
        database_host(tmp_path / "second", "hv1") as second,
        follower(declared_hosts("hv1")) as ear,
    ):
        port = ear.service.listen("127.0.0.1", 0, None)
        first.connect_to(f"tcp:127.0.0.1:{port}")
        ear.until_a(SnapshotComplete)
        second.connect_to(f"tcp:127.0.0.1:{port}")
        assert "connected already" in ear.until_a(HostRefused).reason
        assert ear.quiet(1.5) == []
        first.vsctl("del-manager")
        ear.until_a(HostLost)
        ear.until_a(HostSeen, host="hv1")


def test_a_host_that_takes_another_system_id_is_cut_off(tmp_path: Path) -> None:
    with database_host(tmp_path / "hv1", "hv1") as host, follower(declared_hosts("hv1", "hv2")) as ear:
        host.connect_to(f"tcp:127.0.0.1:{ear.service.listen('127.0.0.1', 0, None)}")
        ear.until_a(SnapshotComplete)
        host.vsctl("set", "Open_vSwitch", ".", "external_ids:system-id=hv2")
        assert "system-id is 'hv2' now" in ear.until_a(HostLost, host="hv1").reason
        ear.until_a(HostRefused)
        ear.until_a(SnapshotComplete, host="hv2")


def test_a_host_that_answers_with_another_ones_system_id_is_refused(tmp_path: Path) -> None:
    hosts = declared_hosts("hv1", ovsdb=f"unix:{tmp_path}/x/db.sock")
    with database_host(tmp_path / "x", "hv2") as host, follower(hosts) as ear:
        assert "'hv2' answers where 'hv1' should" in ear.until_a(HostRefused).reason
        host.vsctl("set", "Open_vSwitch", ".", "external_ids:system-id=hv1")
        ear.until_a(SnapshotComplete, host="hv1")


def test_a_host_with_its_own_certificate_is_admitted_over_tls(
    tmp_path: Path, controller: TlsFiles, hv1: TlsFiles
) -> None:
    with tls_host(tmp_path / "hv1", "hv1", hv1) as host, follower(declared_hosts("hv1")) as ear:
        host.connect_to(f"ssl:127.0.0.1:{ear.service.listen('127.0.0.1', 0, controller)}")
        ear.until_a(SnapshotComplete, host="hv1")
        host.vsctl(
            "add-br", "br0", *(word for n in range(300) for word in ("--", "add-port", "br0", f"p{n}"))
        )
        ear.until(lambda one: getattr(one, "name", "") == "p299")


def test_a_database_that_has_shown_a_certificate_is_not_believed_in_plain_by_the_next_controller_either(
    tmp_path: Path, controller: TlsFiles, hv1: TlsFiles
) -> None:
    hosts, file = declared_hosts("hv1", "hv2"), tmp_path / "certificates.json"
    first = Certificates(file)
    with follower(hosts, have_shown=first.databases) as ear:
        with tls_host(tmp_path / "hv1", "hv1", hv1) as host:
            host.connect_to(f"ssl:127.0.0.1:{ear.service.listen('127.0.0.1', 0, controller)}")
            ear.until_a(SnapshotComplete, host="hv1")
        ear.until_a(HostLost, host="hv1")
    first.stop()
    with follower(hosts, have_shown=Certificates(file).databases) as ear:
        port = ear.service.listen("127.0.0.1", 0, None)
        with database_host(tmp_path / "played", "hv1") as host:
            host.connect_to(f"tcp:127.0.0.1:{port}")
            assert "use ssl:, as it has before" in ear.until_a(HostRefused).reason
            host.vsctl("set", "Open_vSwitch", ".", "external_ids:system-id=hv2")
            ear.until_a(SnapshotComplete, host="hv2")
        assert not any(isinstance(one, HostSeen) and one.host == "hv1" for one in ear.heard)


def test_a_host_that_shows_its_certificate_takes_its_place_from_whoever_said_its_name_in_plain(
    tmp_path: Path, controller: TlsFiles, hv1: TlsFiles
) -> None:
    with database_host(tmp_path / "liar", "hv1") as liar, follower(declared_hosts("hv1")) as ear:
        liar.connect_to(f"tcp:127.0.0.1:{ear.service.listen('127.0.0.1', 0, None)}")
        ear.until_a(SnapshotComplete, host="hv1")
        with tls_host(tmp_path / "hv1", "hv1", hv1) as host:
            host.connect_to(f"ssl:127.0.0.1:{ear.service.listen('127.0.0.1', 0, controller)}")
            assert "has shown a certificate" in ear.until_a(HostLost, host="hv1").reason
            ear.until_a(SnapshotComplete, host="hv1")
            assert "must show a certificate" in ear.until_a(HostRefused).reason
            assert not [one for one in ear.quiet() if isinstance(one, HostLost)]


def test_a_certificate_of_another_name_is_refused(
    tmp_path: Path, controller: TlsFiles, authority: Authority
) -> None:
    other = authority.issue("hv9", "switch")
    with tls_host(tmp_path / "hv1", "hv1", other) as host, follower(declared_hosts("hv1")) as ear:
        host.connect_to(f"ssl:127.0.0.1:{ear.service.listen('127.0.0.1', 0, controller)}")
        reason = ear.until_a(HostRefused).reason
        assert "the certificate is for 'hv9'" in reason
        assert "host hv1 must show 'hv1'" in reason
        assert not any(isinstance(one, HostSeen) for one in ear.heard)


def test_a_host_that_listens_with_tls_is_connected_to_and_checked(
    tmp_path: Path, controller: TlsFiles, hv1: TlsFiles
) -> None:
    port = free_port()
    remote, right = f"pssl:{port}:127.0.0.1", declared_hosts("hv1", ovsdb=f"ssl:127.0.0.1:{port}")
    wrong = declared_hosts("hv1", ovsdb=f"ssl:127.0.0.1:{port}", certificate="hv7")
    with tls_host(tmp_path / "hv1", "hv1", hv1, remote), follower(wrong, client_tls=controller) as ear:
        assert "must show 'hv7'" in ear.until_a(HostRefused).reason
        ear.service.set_hosts(right)
        ear.until_a(SnapshotComplete, host="hv1")


def test_replaced_certificates_are_used_without_a_restart(
    tmp_path: Path, controller: TlsFiles, hv1: TlsFiles
) -> None:
    folder = tmp_path / "in-use"
    folder.mkdir()
    files = TlsFiles(folder / "key", folder / "certificate", folder / "authority")

    def put(made: TlsFiles) -> None:
        for name in ("private_key", "certificate", "authority"):
            (folder / "new").write_bytes(getattr(made, name).read_bytes())
            (folder / "new").replace(getattr(files, name))

    put(controller)
    with follower(declared_hosts("hv1")) as ear:
        remote = f"ssl:127.0.0.1:{ear.service.listen('127.0.0.1', 0, files)}"
        files.private_key.write_text("nonsense, half written")
        with tls_host(tmp_path / "one", "hv1", hv1) as host:
            host.connect_to(remote)
            ear.until_a(SnapshotComplete, host="hv1")
        other = Authority(tmp_path)
        put(other.issue("ctl", "controller"))
        with tls_host(tmp_path / "two", "hv1", hv1) as host:
            host.connect_to(remote)
            assert "TLS handshake failed" in ear.until_a(HostRefused).reason
        with tls_host(tmp_path / "three", "hv1", other.issue("hv1", "switch")) as host:
            host.connect_to(remote)
            ear.until_a(SnapshotComplete, host="hv1")


def test_tls_towards_a_host_without_our_own_files_is_said_to_be_missing_them() -> None:
    with follower(declared_hosts("hv1", ovsdb="ssl:127.0.0.1:6640")) as ear:
        assert "needs the controller's TLS files" in ear.until_a(HostUnreachable).reason


def test_nobody_gets_in_without_a_certificate_or_with_old_tls(controller: TlsFiles, hv1: TlsFiles) -> None:
    with follower(declared_hosts("hv1")) as ear:
        port = ear.service.listen("127.0.0.1", 0, controller)
        bare = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        bare.check_hostname, bare.verify_mode = False, ssl.CERT_NONE
        with (
            socket.create_connection(("127.0.0.1", port)) as plain,
            contextlib.suppress(ssl.SSLError, ConnectionError),
            bare.wrap_socket(plain) as secured,
        ):
            secured.recv(1)
        assert "TLS handshake failed" in ear.until_a(HostRefused).reason
        old = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        old.check_hostname, old.verify_mode = False, ssl.CERT_NONE
        old.load_cert_chain(hv1.certificate, hv1.private_key)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)
            old.maximum_version = ssl.TLSVersion.TLSv1_1
        old.set_ciphers("DEFAULT:@SECLEVEL=0")
        with socket.create_connection(("127.0.0.1", port)) as plain, pytest.raises(ssl.SSLError):
            old.wrap_socket(plain)


def test_who_says_nothing_is_dropped_at_the_deadline_and_holds_up_nobody(tmp_path: Path) -> None:
    patience = Patience(handshake_s=4.0, snapshot_s=20.0, probe_s=5.0, half_open=16)
    with database_host(tmp_path / "hv1", "hv1") as host, follower(declared_hosts("hv1"), patience) as ear:
        port = ear.service.listen("127.0.0.1", 0, None)
        silent = [socket.create_connection(("127.0.0.1", port)) for _ in range(40)]
        host.connect_to(f"tcp:127.0.0.1:{port}")
        ear.until_a(HostSeen, host="hv1")
        # The host was admitted while the silent ones were still waited for.
        assert SILENT not in reasons(ear.heard)
        for one in silent:
            one.settimeout(30.0)
            while one.recv(4096):
                pass
            one.close()
        said = reasons(ear.heard + ear.quiet())
    assert said == {SILENT, "too many connections have not said who they are; it was the oldest"}


def test_who_is_slow_to_say_who_it_is_gives_way_to_none_of_another_address(tmp_path: Path) -> None:
    patience = Patience(handshake_s=60.0, snapshot_s=60.0, probe_s=60.0, half_open=12, half_open_of_one=4)
    with follower(declared_hosts("hv1"), patience) as ear:
        place = ("127.0.0.1", ear.service.listen("127.0.0.1", 0, None))
        with contextlib.ExitStack() as open_ones:
            slow = open_ones.enter_context(socket.create_connection(place, source_address=("127.0.0.2", 0)))
            asked = slow.recv(4096)
            crowd = [open_ones.enter_context(socket.create_connection(place)) for _ in range(40)]
            for one in crowd[:36]:  # the others stay
                one.settimeout(30.0)
                while one.recv(4096):
                    pass
            answer = {"rows": [{"external_ids": ["map", [["system-id", "hv1"]]]}]}
            slow.sendall(
                json.dumps({"id": json.loads(asked)["id"], "result": [answer], "error": None}).encode()
            )
            assert slow.recv(4096)  # it is asked for its contents


SILENT = "no answer: asking for the system-id"


def reasons(heard: Iterable[Observation]) -> set[str]:
    return {one.reason for one in heard if isinstance(one, HostRefused)}
