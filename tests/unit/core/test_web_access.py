"""Which addresses may be fetched from: the operator, that reads specs, and the pod, that follows servers, say the same."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from yarl import URL

from deepseek_operator.core.web_access import NOWHERE, WebAccess
from deepseek_runtime.fetcher.access import Access, is_allowable, is_metadata, plain
from deepseek_runtime.fetcher.failures import Failure
from tests.support.search import search

MODELS = "https://artifacts.example.org/models"
STEP = st.sampled_from(("models", "model", "models2", "lite", "a.b"))
HOST = st.sampled_from(("artifacts.example.org", "artifacts.example.org.evil.net", "example.org", "10.0.0.1"))
ADDRESS = st.builds(
    lambda scheme, host, port, steps, end: f"{scheme}://{host}{port}{''.join(f'/{one}' for one in steps)}{end}",
    st.sampled_from(("http", "https")),
    HOST,
    st.sampled_from(("", ":443", ":80", ":8443")),
    st.lists(STEP, max_size=3),
    st.sampled_from(("", "/")),
)


def is_admitted(allowed: str, address: str) -> bool:
    try:
        Access((allowed,)).admitted(address)
    except Failure:
        return False
    return True


@pytest.mark.parametrize(
    ("allowed", "address", "may"),
    [
        (MODELS, f"{MODELS}/lite/", True),
        (f"{MODELS}/", f"{MODELS}/lite/", True),
        (MODELS, f"{MODELS}/", True),
        (MODELS, "https://artifacts.example.org:443/models/lite/", True),
        ("https://artifacts.example.org", "https://artifacts.example.org/a.jsonl", True),
        (f"{MODELS}/a.jsonl", f"{MODELS}/a.jsonl", True),
        (MODELS, "https://artifacts.example.org/models2/", False),
        (MODELS, "https://artifacts.example.org/", False),
        (MODELS, "http://artifacts.example.org/models/", False),
        (MODELS, "https://artifacts.example.org:8443/models/", False),
        (MODELS, "https://artifacts.example.org.evil.net/models/", False),
        (MODELS, "https://evil.net/https://artifacts.example.org/models/", False),
    ],
)
def test_an_address_is_compared_by_origin_and_whole_steps(allowed: str, address: str, may: bool) -> None:
    assert WebAccess.of([allowed]).allows(address) is may
    assert is_admitted(allowed, address) is may


@search(300, 1)
@given(allowed=ADDRESS, address=ADDRESS)
def test_operator_and_pod_say_the_same(allowed: str, address: str) -> None:
    assert WebAccess.of([allowed]).allows(address) is is_admitted(allowed, address)


@pytest.mark.parametrize(
    "address",
    [
        "https://artifacts.example.org@evil.net/models/",
        "https://artifacts.example.org:x@evil.net/models/",
        "https://u@artifacts.example.org/models/a",
        "https://evil.net\\@artifacts.example.org/models/a",
        "https://artifacts.example.org/models/../private/a",
        "https://artifacts.example.org/models/%2e%2e/private/a",
        "https://artifacts.example.org/models/%252e%252e/private/a",
        "https://artifacts.example.org/models/..;/private/a",
        "https://artifacts.example.org/models/..%2fprivate/a",
        "https://artifacts.example.org/models%2fa",
        "https://artifacts.example.org/models/a%5c..%5cb",
        "https://artifacts.example.org/%6dodels/a",
        "https://artifacts.example.org/models\\..\\a",
        "https://artifacts.example.org:0/models/a",
        "https://artifacts.example.org:99999/models/a",
        "https://artifacts.еxample.org/models/a",
        "https://artifacts.example.org/models/a\r\nHost: evil",
        "//artifacts.example.org/models/a",
        "file:///models/a",
        "",
    ],
)
def test_what_may_be_read_in_two_ways_is_refused(address: str) -> None:
    assert not is_admitted(MODELS, address)
    assert not WebAccess.of([MODELS]).allows(address)


def test_a_redirect_keeps_what_stands_behind_the_path_and_the_case_of_a_host_is_none() -> None:
    access, here = Access((MODELS,)), URL(f"{MODELS}/a")
    asked = access.redirected(here, "https://ARTIFACTS.example.org/models/b%20c?sig=%2F..%2F")
    assert asked.raw_path_qs == "/models/b%20c?sig=%2F..%2F"
    assert str(access.redirected(here, "b/c")) == f"{MODELS}/b/c"


@pytest.mark.parametrize(
    "prefix",
    ["artifacts.example.org", "https://", "https://A.org", "https://u@a.org", "https://a.org/..", "https://a.org/?b",
     "https://a.org:0", "https://a.org:99999", "ftp://a.org", "https://*.a.org", "https://a.org/a b", "https://a.org/a,b"],
)  # fmt: skip
def test_what_is_no_address_is_no_permission(prefix: str) -> None:
    with pytest.raises(ValueError, match="is no address to fetch from; write one"):
        WebAccess.of([prefix])
    assert not is_allowable(prefix)


def test_nobody_has_it_before_an_administrator_says_so() -> None:
    assert not NOWHERE.allows(f"{MODELS}/")


@pytest.mark.parametrize(
    ("address", "is_one"),
    [
        ("169.254.169.254", True),
        ("fe80::1%eth0", True),
        ("::ffff:169.254.169.254", True),
        ("64:ff9b::a9fe:a9fe", True),
        ("fd00:ec2::254", True),
        ("100.100.100.200", True),
        ("10.0.0.1", False),
        ("127.0.0.1", False),
        ("2001:db8::1", False),
    ],
)
def test_addresses_of_a_metadata_service_are_known(address: str, is_one: bool) -> None:
    assert is_metadata(address) is is_one


def test_nothing_secret_of_an_address_is_told() -> None:
    assert plain("https://u:p@a.org/b?sig=s#f") == "https://a.org/b"
    assert plain("nonsense") == "an address that it names"
