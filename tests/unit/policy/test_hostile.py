"""Hostile documents: an error soon, in bounded memory, never a crash, never a part of a configuration."""

# ruff: noqa: E501 - a table is read line by line

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from zonewall.policy import texts as texts_module
from zonewall.policy.load import read_directory

MOST_MEMORY = 1 << 30
"""Hard limit of the process that reads; what is measured is held against less."""

MOST_OF_THE_PEER = 4
"""How often the time of a good document of 5 MB any of these may take; most take a tenth of it."""

READ = """
import json, resource, sys, time
from pathlib import Path
from typing import Any
from zonewall.policy.load import read_directory
resource.setrlimit(resource.RLIMIT_AS, (int(sys.argv[1]), int(sys.argv[1])))
for folder in sys.argv[2:]:
    before = time.process_time()
    result = read_directory(Path(folder))
    print(json.dumps({
        "usable": result.configuration is not None,
        "errors": [str(f) for f in result.findings if f.is_error],
        "cpu_s": time.process_time() - before,
        "memory": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
    }), flush=True)
"""
TENANT = "kind: tenant\ntenant: x\n"


def lines(form: str, count: int) -> str:
    return "".join(form.format(n, n + 1) for n in range(count))


def bomb() -> str:
    first = "a: &a [x,x,x,x,x,x,x,x,x]\n"
    return first + "".join(
        f"{chr(98 + n)}: &{chr(98 + n)} [{','.join(['*' + chr(97 + n)] * 9)}]\n" for n in range(20)
    )


def ends(count: int, form: str) -> str:
    macs = (f"52:54:00:{n >> 16:02x}:{n >> 8 & 255:02x}:{n & 255:02x}" for n in range(count))
    return "kind: inventory\nendpoints:\n" + "".join(
        f"  - {{{form.format(n, mac)}}}\n" for n, mac in enumerate(macs)
    )


def rules(count: int, form: str) -> str:
    return f"{TENANT}tiers:\n  - name: t\n    rules:\n{lines(form, count)}"


def odd(count: int) -> str:
    """Return ports none of which is next to another."""
    return ", ".join(str(2 * number + 1) for number in range(count))


def again(zone: int, depth: int) -> str:
    """Return a selector that names a zone in each of the exceptions within it."""
    return f"{{zones: [z{zone}], except: {again(zone, depth - 1)}}}" if depth else "{}"


HOSTILE: dict[str, tuple[Callable[[], str | bytes], str]] = {
    "an alias bomb": (bomb, "aliases multiply to more than 100000 values"),
    "megabytes of lists in lists": (lambda: "[" * 3_000_000, "nesting"),
    "megabytes of mappings in mappings": (lambda: "{a: " * 1_000_000, "nested deeper than 40 levels"),
    "megabytes of dashes": (lambda: "- " * 1_000_000, "nested deeper than 40 levels"),
    "deep indentation": (lambda: "".join(" " * n + "a:\n" for n in range(3000)), "nested deeper"),
    "a million keys": (lambda: TENANT + "zones:\n" + lines("  z{}: {{}}\n", 1_000_000), "more than 20000 keys"),
    "a list of a quarter of a million": (lambda: "kind: inventory\nendpoints:\n" + lines("  - {{name: e{}}}\n", 250_000), "more than 200000 items"),
    "half a million documents": (lambda: "kind: nope\n---\n" * 500_000, "more than 10000 documents"),
    "a key of twenty megabytes": (lambda: "x" * 20_000_000 + ": 1", "20000000 characters; 4096 are allowed"),
    "a value of twenty megabytes": (lambda: 'kind: "' + "x" * 20_000_000 + '"', "20000000 characters; 4096 are allowed"),
    "a number of four thousand digits": (lambda: TENANT + "mirrors: [{name: m, from: any, to: any, target: x, truncate: " + "9" * 4000 + "}]", "is no whole number"),
    "a tag of megabytes": (lambda: "!<" + "a" * 5_000_000 + "> x", "has no place here"),
    "an anchor of megabytes": (lambda: "&" + "a" * 5_000_000 + " x", "a document is a mapping"),
    "a NUL": (lambda: "kind: a\0b", "U+0000"),
    "an escape written as an escape": (lambda: 'kind: "\\e[2J"', "U+001B"),
    "an escape of eight bits": (lambda: "kind: \x9b2J", "U+009B"),
    "an escape of eight bits written as an escape": (lambda: 'kind: "\\x9b2J"', "U+009B"),
    "a new line of eight bits written as an escape": (lambda: 'kind: "a\\Nb"', "U+0085"),
    "bad UTF-8": (lambda: b"kind: \xff\xfe\n", "x.yaml:1:7: byte 0xff is no UTF-8"),
    "half a surrogate": (lambda: b"kind: \xed\xa0\x80\n", "is no UTF-8"),
    "UTF-16": (lambda: "kind: tenant".encode("utf-16"), "is no UTF-8"),
    "a binary": (lambda: bytes(range(256)) * 1000, "is no UTF-8"),
    "duplicate keys without end": (lambda: "a: 1\n" * 500_000, "duplicate keys"),
    "services made of services, doubled": (lambda: TENANT + "services:\n" + lines("  s{0}: [s{1}, s{1}]\n", 60) + "  s60: [tcp/1]\n", "stands within 16 others"),
    "services in a chain": (lambda: TENANT + "services:\n" + lines("  s{}: [s{}]\n", 19_000) + "  s19000: [tcp/1]\n", "stands within 16 others"),
    "services in a chain from its end on": (lambda: TENANT + "services:\n  s0: [tcp/1]\n" + "".join(f"  s{n}: [s{n - 1}]\n" for n in range(1, 19_000)), "is made of services more than 16 levels deep"),
    "a service of thousands of ports": (lambda: TENANT + f"services:\n  s: [{lines('tcp/{}, ', 4000)}]\n", "service 's' has more than 1000 alternatives; write ranges of ports"),
    "a service of ports times source ports": (lambda: TENANT + f"services:\n  s: [{{proto: tcp, ports: [{odd(100)}], source-ports: [{odd(100)}]}}]\n", "service 's' has more than 1000 alternatives"),
    "rules that all name a service of many ports": (lambda: rules(2000, "      - {{name: r{}, from: any, to: any, services: [s], action: drop}}\n") + f"services: {{s: [{lines('tcp/{}, ', 900)}]}}\n", "more than 1000000 alternatives of services; write ranges of ports"),
    "services that all name those of many ports": (lambda: TENANT + f"services:\n  a: [{lines('tcp/{}, ', 900)}]\n" + lines("  s{}: [a]\n", 10_000), "more than 1000000 alternatives of services; write ranges of ports"),
    "zones in a chain from its end on": (lambda: TENANT + "zones:\n  z0: {}\n" + "".join(f"  z{n}: {{zones: [z{n - 1}]}}\n" for n in range(1, 19_000)), "too many zones, or too deep"),
    "zones that name the zone before again and again": (lambda: TENANT + "zones:\n  z0: {}\n" + "".join(f"  z{n}: {again(n - 1, 30)}\n" for n in range(1, 17)), "too many zones, or too deep"),
    "zones made of zones, doubled": (lambda: TENANT + "zones:\n" + "".join(f"  z{n}: {{zones: [z{n + 1}, z{n + 2}]}}\n" for n in range(60)) + "  z60: {}\n  z61: {}\n", "too many zones, or too deep"),
    "zones in a chain": (lambda: TENANT + "zones:\n" + lines("  z{}: {{zones: [z{}]}}\n", 19_000) + "  z19000: {}\n", "too many zones, or too deep"),
    "names nearly right among ten thousand": (lambda: TENANT + "zones: {" + lines("zone{}: {{}}, ", 10_000) + "}\ntiers:\n  - name: t\n    rules:\n" + lines("      - {{name: r{}, from: zonf{}, to: any, action: drop}}\n", 1000), "did you mean 'zone1'?"),
    "rules without end, all wrong": (lambda: rules(3000, "      - {{name: r{}, from: nobody{}, to: any, action: drop}}\n"), "there are 2500 more errors beside the 500 shown"),
    "a hundred thousand rules about nobody": (lambda: rules(100_000, "      - {{name: r{}, from: nobody{}, to: any, action: drop}}\n"), "there are at least 9500 more errors"),
    "endpoints that lack everything": (lambda: ends(150_000, "name: e{}"), "there are at least 9500 more errors"),
    "more values than a file may have": (lambda: ends(150_000, "name: e{}, tenant: 5x!, iface-id: [a], mac: zz, ips: [1.2.3], labels: 7"), "more than 1000000 values; split it"),
    "endpoints of which every word is wrong": (lambda: ends(50_000, "name: e{}, tenant: 5x!, iface-id: [a], mac: zz, ips: [1.2.3], labels: 7"), "there are at least 9500 more errors"),
    "endpoints of as many tenants that are none": (lambda: ends(50_000, "name: e, tenant: t{0}, iface-id: i{0}, mac: 52:54:00:00:00:01"), "there are at least 9500 more errors"),
    "endpoints on as many hosts that are none": (lambda: ends(50_000, "name: e{0}, tenant: good, iface-id: i{0}, mac: {1}, port: {{name: p, host: h{0}}}"), "there are at least 9500 more errors"),
    "service types nearly right": (lambda: TENANT + "services:\n" + lines("  s{}: [icmp/echo-requst{}]\n", 19_000), "did you mean 'echo-request'?"),
    "wrong types everywhere": (lambda: "kind: [tenant]\n---\nkind: tenant\ntenant: {a: b}\nzones: 7\ntiers: {}\n", "is wanted here"),
    "a hundred megabytes": (lambda: b"#" * 100_000_000, "a file may have 32 MiB; split it"),
}  # fmt: skip


DENSE: dict[str, Callable[[], str]] = {
    "rules of services of many ports": lambda: rules(900, "      - {{name: r{0}, from: any, to: any, services: [s, udp/{0}], action: drop}}\n") + f"services: {{s: [{odd(990).replace(' ', ' tcp/').replace('1,', 'tcp/1,', 1)}]}}\n",
    "rules of many ports each": lambda: rules(30, f"      - {{{{name: r{{0}}, from: any, to: any, services: [{{{{proto: tcp, ports: [{odd(30_000)}]}}}}, udp/{{0}}], action: drop}}}}\n"),
    "rules of many zones": lambda: rules(400, f"      - {{{{name: r{{0}}, from: [{lines('z{0}, ', 1000)} n{{0}}], to: any, action: drop}}}}\n") + f"zones: {{{lines('z{}: {{}}, ', 1000)} {lines('n{}: {{}}, ', 400)}}}\n",
    "a zone exported by a tenant of many zones": lambda: TENANT + "zones:\n" + lines("  z{}: {{labels: {{role: z{}}}}}\n", 3000) + "export: [{zone: z1, to: y}]\n---\nkind: tenant\ntenant: y\nimport: [{zone: x/z1, as: z}]\n---\n" + ends(10_000, "name: e{0}, tenant: x, iface-id: i{0}, mac: {1}, labels: {{role: z2}}"),
}  # fmt: skip
"""What is no error, and large: it is to be read as soon."""


@pytest.fixture(scope="module")
def seen(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, Any]]:
    """A good document and every case read, one after the other, in one process that has little memory."""
    documents: dict[str, tuple[Callable[[], str | bytes], str]] = {
        GOOD: (lambda: ends(50_000, GOOD_END), ""),
        **{name: (make, "") for name, make in DENSE.items()},
        **HOSTILE,
    }
    folders = [tmp_path_factory.mktemp("hostile") for _ in documents]
    for folder, (make, _) in zip(folders, documents.values(), strict=True):
        content = make()
        (folder / "x.yaml").write_bytes(content.encode() if isinstance(content, str) else content)
        good(folder)
    words = [sys.executable, "-c", READ, str(MOST_MEMORY), *map(str, folders)]
    done = subprocess.run(words, capture_output=True, text=True, timeout=170, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    return dict(zip(documents, map(json.loads, done.stdout.splitlines()), strict=True))


GOOD = "good"
GOOD_END = "name: e{0}, tenant: good, iface-id: i{0}, mac: {1}, labels: {{role: web, stage: live}}"


def test_the_good_document_that_the_others_are_held_against_is_good(seen: dict[str, dict[str, Any]]) -> None:
    assert (seen[GOOD]["usable"], seen[GOOD]["errors"]) == (True, [])


@pytest.mark.parametrize("name", DENSE)
def test_a_dense_document_is_read_soon_and_in_bounded_memory(
    name: str, seen: dict[str, dict[str, Any]]
) -> None:
    found, peer = seen[name], seen[GOOD]

    assert (found["usable"], found["errors"]) == (True, [])
    assert found["cpu_s"] < MOST_OF_THE_PEER * peer["cpu_s"]
    assert found["memory"] < 500 << 20


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_document_is_refused_soon_and_in_bounded_memory(
    name: str, seen: dict[str, dict[str, Any]]
) -> None:
    # No seconds, which the machine's other work would stretch: the peer, of 5 MB, is read in the same run.
    found, message, peer = seen[name], HOSTILE[name][1], seen[GOOD]

    assert found["usable"] is False
    assert any(message in error for error in found["errors"]), found["errors"][:3]
    assert all(len(error) < 500 for error in found["errors"])
    assert found["cpu_s"] < MOST_OF_THE_PEER * peer["cpu_s"]
    assert found["memory"] < 500 << 20


def good(folder: Path) -> Path:
    (folder / "good.yaml").write_text("kind: tenant\ntenant: good\n")
    return folder


def errors(folder: Path) -> list[str]:
    result = read_directory(folder)
    assert (result.configuration is None) == any(f.is_error for f in result.findings)
    return [str(finding) for finding in result.findings if finding.is_error]


def test_a_pipe_a_dangling_link_and_a_link_to_a_device_are_errors(tmp_path: Path) -> None:
    os.mkfifo(good(tmp_path) / "pipe.yaml")
    (tmp_path / "gone.yaml").symlink_to(tmp_path / "nowhere")
    (tmp_path / "zero.yaml").symlink_to("/dev/zero")

    found = errors(tmp_path)

    assert [one.split(":")[0] for one in found] == ["gone.yaml", "pipe.yaml", "zero.yaml"]
    assert "this is no ordinary file; remove it" in found[1]


def test_a_link_to_a_folder_is_an_error_and_not_left_out_in_silence(tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    folder = tmp_path / "c"
    folder.mkdir()
    (good(folder) / "more").symlink_to(elsewhere)
    (folder / "loop").symlink_to(folder)

    assert [one.split(": ")[1] for one in errors(folder)] == [
        "a link to a folder is not followed; put the folder itself here"
    ] * 2


def test_folders_below_are_read_and_hidden_ones_are_not(tmp_path: Path) -> None:
    for name in ("tenants", ".git"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "x.yml").write_text(f"kind: tenant\ntenant: {name.strip('.')}\n")
    (tmp_path / "readme.txt").write_text("kind: [")
    (tmp_path / "folder.yaml").mkdir()

    result = read_directory(good(tmp_path))

    assert result.configuration is not None
    assert sorted(result.configuration.tenants) == ["good", "tenants"]


def test_many_documents_together_are_bounded_as_one_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(9):
        (good(tmp_path) / f"x{number}.yaml").write_text(f"kind: tenant\ntenant: x{number}\ndefualt: x\n")
    monkeypatch.setattr(texts_module, "MOST_VALUES", 20)

    found = errors(tmp_path)

    assert [one.split(":")[0] for one in found] == ["x0.yaml", "x1.yaml", "x2.yaml"]
    assert "up to here the documents have more than 20 values" in found[-1]


def test_a_file_name_that_cannot_be_shown_is_an_error_that_can(tmp_path: Path) -> None:
    (good(tmp_path) / os.fsdecode(b"bad\xff.yaml")).write_text("kind: provider\n")
    (tmp_path / "two\nlines.yaml").write_text("kind: provider\n")

    for message in errors(tmp_path):
        assert message.isprintable()
        assert "the file's name has characters that cannot be shown; rename it" in message


@pytest.mark.parametrize("content", ["", "# nothing\n", "---\n---\n", "~\n"])
def test_a_document_of_nothing_says_nothing(content: str, tmp_path: Path) -> None:
    (good(tmp_path) / "x.yaml").write_text(content)

    assert errors(tmp_path) == []


def test_a_directory_without_documents_and_none_at_all_are_errors(tmp_path: Path) -> None:
    assert "there is no document (*.yaml) in it" in errors(tmp_path)[0]
    assert "there is no such directory" in errors(tmp_path / "nowhere")[0]
