"""``zonewall matrix``: zones by zones, for a terminal, a page, a picture and a program."""

from __future__ import annotations

import json
import xml.etree.ElementTree as ET
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from support.configurations import configure, endpoint, rule, tenant, tier, zone
from zonewall.cli.app import build_app
from zonewall.cli.matrix_report import html_page, svg_picture
from zonewall.errors import ZonewallError
from zonewall.intent.matrix import Cell, Matrix, matrix
from zonewall.intent.regions import Regions
from zonewall.policy.model import Configuration, Mode, Rule, Tenant
from zonewall.values.names import TenantName

DEMO = str(Path(__file__).parents[3] / "policies" / "demo")


def run(*words: str) -> str:
    done = CliRunner().invoke(build_app(), ["matrix", DEMO, *words])
    assert done.exit_code == 0, done.output
    return done.stdout


def shop(*more: Rule, **keys: Any) -> Configuration:
    zones = [
        zone("web", labels={"role": "web"}),
        zone("prod", labels={"stage": "prod"}),
        zone("lost", labels={"x": "y"}),
    ]
    rules = tier("t", rule("in", "any", "prod", services=["tcp/443"]), *more)
    own: Tenant = tenant("acme", rules, zones=zones, **keys)
    ends = [
        endpoint("acme/web1", "10.0.0.1", labels={"role": "web", "stage": "prod"}),
        endpoint("acme/web2", "10.0.0.2", labels={"role": "web", "stage": "dev"}),
        endpoint("acme/odd", "10.0.0.3"),
    ]
    return configure(*ends, own)


def of(configuration: Configuration) -> Matrix:
    return matrix(Regions.of(configuration), configuration.tenants[TenantName("acme")])


def test_what_passes_to_some_members_only_is_told_apart() -> None:
    cells = of(shop()).cells
    assert cells["external", "prod"] == Cell(("tcp/443",), always_bits=cells["external", "prod"].always_bits)
    assert (cells["external", "web"].always, cells["external", "web"].sometimes) == ((), ("tcp/443",))
    assert cells["prod", "external"].always == ()


def test_who_is_in_no_zone_and_who_is_outside_have_a_row_and_a_zone_of_nobody_is_empty() -> None:
    found = of(shop())
    assert found.names == ("web", "prod", "lost", "(no zone)", "external")
    assert found.cells["(no zone)", "prod"].always == ("tcp/443",)
    assert found.cells["lost", "web"].empty


def test_what_passes_because_a_rule_is_only_watched_is_marked() -> None:
    watched = rule("no", "any", "prod", "drop", services=["tcp/22"], mode=Mode.MONITOR)
    cell = of(shop(watched)).cells["external", "prod"]
    assert (cell.always, cell.watched) == (("tcp/22", "tcp/443"), ("tcp/22",))


def test_the_terminal_shows_every_zone_and_what_passes() -> None:
    text = run("--tenant", "acme")
    assert all(word in text for word in ("web", "db", "batch", "external", "tcp/5432"))
    assert "blue" not in text


def test_a_program_reads_every_cell() -> None:
    document = json.loads(run("--output", "json"))
    acme = next(one for one in document["tenants"] if one["tenant"] == "acme")
    assert acme["zones"] == ["web", "db", "batch", "proxy", "external"]
    cells = {(one["from"], one["to"]): one for one in acme["cells"]}
    assert len(cells) == 25
    assert cells["batch", "db"]["always"] == ["tcp/5432"]
    assert set(cells["batch", "db"]) == {"from", "to", "always", "sometimes", "watched", "empty"}


@pytest.mark.parametrize("form", ["html", "svg"])
def test_a_report_loads_nothing_and_cannot_be_written_into_by_a_name(form: str) -> None:
    evil = "<script>alert(1)</script>"
    shown = Matrix(TenantName(evil), (evil,), {(evil, evil): Cell(("tcp/443",), always_bits=1)})
    text = html_page([shown]) if form == "html" else svg_picture([shown])
    assert "<script" not in text
    assert "tcp/443" in text
    assert "src=" not in text
    assert "href=" not in text


def test_a_picture_is_well_formed_with_a_box_for_each_pair() -> None:
    picture = ET.fromstring(run("--output", "svg", "--tenant", "acme"))
    assert len(picture.findall(".//{http://www.w3.org/2000/svg}rect")) == 25


def test_a_tenant_that_is_not_there_is_an_error_that_names_those_that_are() -> None:
    done = CliRunner().invoke(build_app(), ["matrix", DEMO, "--tenant", "acne"])
    assert isinstance(done.exception, ZonewallError)
    assert "acme, blue" in str(done.exception)
