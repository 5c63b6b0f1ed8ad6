"""Kubernetes quantities."""

from fractions import Fraction

import pytest

from deepseek_operator.domain.values.quantity import InvalidQuantity, binary, canonical, gibibytes_up, parse, to_bytes


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1Gi", 1 << 30),
        ("1.5Gi", 3 << 29),
        ("2", 2),
        ("250m", Fraction(1, 4)),
        ("1e3", 1000),
        ("1E3", 1000),
        ("1E", 10**18),
        ("-5k", -5000),
        (".5", Fraction(1, 2)),
        ("5.", 5),
        ("100n", Fraction(1, 10**7)),
    ],
)
def test_a_quantity_has_its_exact_value(text: str, value: Fraction | int) -> None:
    assert parse(text) == value


@pytest.mark.parametrize(
    "text", ["", " 1", "1 Gi", "1gi", "1KB", "e3", ".", "--1", "1e", "Gi", "١", "1" * 65, "1e9999"]
)
def test_what_the_api_server_refuses_is_refused(text: str) -> None:
    with pytest.raises(InvalidQuantity):
        parse(text)


@pytest.mark.parametrize(
    ("text", "form"),
    [
        ("1024Mi", "1Gi"),
        ("0.5Gi", "512Mi"),
        ("1000m", "1"),
        ("1000k", "1M"),
        ("0.1", "100m"),
        ("1e3", "1e3"),
        ("1000E0", "1e3"),
        ("1e-4", "100e-6"),
        ("0", "0"),
        ("0Gi", "0"),
        ("-1024Ki", "-1Mi"),
        ("0.1n", "1n"),
        ("512", "512"),
    ],
)
def test_equal_amounts_have_one_canonical_form(text: str, form: str) -> None:
    assert canonical(text) == form


def test_bytes_round_up() -> None:
    assert to_bytes("1500m") == 2
    assert gibibytes_up((5 << 30) + 1) == "6Gi"


def test_whole_bytes_take_the_largest_binary_suffix() -> None:
    assert [binary(amount) for amount in (0, 1000, 1024, 3 << 40)] == ["0", "1000", "1Ki", "3Ti"]
