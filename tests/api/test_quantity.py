from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sampan.api import quantity
from sampan.api.quantity import Quantity, Suffixes

TEXTS = st.builds(
    "{}{}{}{}".format,
    st.sampled_from(("", "-", "+")),
    st.integers(0, 10**12),
    st.sampled_from(("", ".", ".5", ".125", ".000001")),
    st.sampled_from(("", "n", "u", "m", "k", "M", "G", "Ki", "Mi", "Gi", "Ti", "e3", "E-2", "e6")),
)


@pytest.mark.parametrize(
    ("text", "canonical"),
    [
        ("0", "0"),
        ("1000m", "1"),
        ("0.1", "100m"),
        ("1.5Gi", "1536Mi"),
        ("1024Mi", "1Gi"),
        ("1000Mi", "1000Mi"),
        ("512", "512"),
        ("1Ki", "1Ki"),
        ("0.5Ki", "512"),
        ("1500M", "1500M"),
        ("1000M", "1G"),
        ("1e3", "1e3"),
        ("1200e3", "1200e3"),
        ("12e5", "1200e3"),
        ("0.001Ki", "1024m"),
        (".5", "500m"),
        ("1.", "1"),
        ("0.1n", "1n"),
        ("-1.5", "-1500m"),
        ("9Ei", "9223372036854775807"),
        (128974848, "128974848"),
        (0.5, "500m"),
    ],
)
def test_canonical_text(text, canonical):
    assert quantity.canonical(text) == canonical


@pytest.mark.parametrize(
    ("text", "milli", "value"),
    [("100m", 100, 1), ("1", 1000, 1), ("1.5", 1500, 2), ("1Ki", 1024000, 1024), ("1u", 1, 1)],
)
def test_counts_are_rounded_up(text, milli, value):
    assert (quantity.milli(text), quantity.value(text)) == (milli, value)


@pytest.mark.parametrize(
    "text", ["", "a", "1 Gi", "1GiB", "--1", ".", "1.2.3", "1e", "Ki", "1e1.5", "٣", True, None]
)
def test_what_is_no_quantity_is_refused(text):
    with pytest.raises(ValueError, match="quantit"):
        quantity.canonical(text)


def test_an_endless_exponent_costs_nothing():
    assert quantity.canonical("1e99999999999") == "9223372036854775807"
    assert quantity.parse("1e-99999999999") == Fraction(1, 10**9)


@given(TEXTS)
def test_canonical_text_means_the_same_and_is_its_own_canonical_text(text):
    canonical = quantity.canonical(text)
    assert quantity.parse(canonical) == quantity.parse(text)
    # A binary amount that is no multiple of 1024 loses its suffix, and is read again as a decimal one.
    settled = quantity.canonical(canonical)
    assert settled == canonical or quantity.canonical(settled) == settled


@given(TEXTS, TEXTS)
def test_order_is_that_of_the_amounts(left, right):
    assert (quantity.quantity(left) < quantity.quantity(right)) == (
        quantity.parse(left) < quantity.parse(right)
    )
    assert (quantity.quantity(left) >= quantity.quantity(right)) == (
        quantity.parse(left) >= quantity.parse(right)
    )


def test_a_sum_keeps_the_family_of_its_left_side():
    assert str(quantity.quantity("1Gi") + quantity.quantity("1024M")) == "2048576Ki"
    assert str(quantity.total(["512Mi", "512Mi"])) == "1Gi"
    assert str(quantity.total([])) == "0"
    assert Quantity(1, Suffixes.BINARY) == Quantity(1, Suffixes.DECIMAL)
