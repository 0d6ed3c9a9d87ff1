"""Texts of models and users stand in a report as they are, and act on nothing."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from meshflow_prefect.uses.markdown import bars, escaped, money, percent, table


@given(st.text(max_size=400))
def test_no_text_breaks_a_table_or_makes_html_or_a_link(text):
    cell = escaped(text)

    assert len(cell.splitlines()) <= 1
    assert not re.search(r"[<>]|://", cell)
    assert not re.search(r"(?<!\\)(?:\\\\)*[|`*_~\[\]!#]", cell)


def test_a_long_text_is_cut_and_blanks_are_one():
    assert escaped("a  b\n\tc") == "a b c"
    assert escaped("x" * 200, most=5) == "xxxxx…"
    assert escaped("<b>A & B</b> | 1") == r"&lt;b&gt;A &amp; B&lt;/b&gt; \| 1"


def test_a_table_has_its_figures_on_the_right():
    assert table(["a", "n"], [["x", "1"]], right=1) == ["| a | n |", "| --- | ---: |", "| x | 1 |"]


@pytest.mark.parametrize(
    ("usd", "words"),
    [
        (0.0000765, "US$ 0.0000765"),
        (12.34567, "US$ 12.35"),
        (0.0, "US$ 0"),
        (1234567.0, "US$ 1235000"),
        (None, "US$ unknown"),
    ],
)
def test_a_sum_is_never_written_with_an_exponent(usd, words):
    assert money(usd) == words


def test_shares_are_words_and_bars():
    assert (percent(0.8451), percent(None)) == ("84.5 %", "–")
    assert bars([0.0, 0.5, 1.0]) == "▁▅█"
