"""By which names of its certificate somebody is known, who comes over OpenFlow or with a database."""

from __future__ import annotations

import pytest

from zonewall.tls import certificate_names

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
