"""A prompt template reaches the columns of a row, and nothing else."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from meshflow_prefect import InvalidRequestError, TemplateError
from meshflow_prefect.templates import Template


def test_columns_are_filled_in_where_they_stand():
    template = Template("Summarise: {text}\nIn {language}, {text}!")

    assert template.columns == ("text", "language")
    assert template.render({"text": "Hi.", "language": "Czech", "more": 1}) == (
        "Summarise: Hi.\nIn Czech, Hi.!"
    )


def test_a_template_without_columns_is_a_text():
    assert Template("Hello.").columns == ()
    assert Template("").render({}) == ""


def test_double_braces_are_braces():
    template = Template('Answer as {{"name": "{name}"}}{{}}{{{name}}}')
    assert template.render({"name": "x"}) == 'Answer as {"name": "x"}{}{x}'


@given(st.text(), st.text())
def test_any_text_is_kept_when_its_braces_are_doubled(before, value):
    template = Template(before.replace("{", "{{").replace("}", "}}") + "{a}")
    assert template.render({"a": value}) == before + value


def test_braces_in_a_value_are_not_columns():
    assert Template("{a}{b}").render({"a": "{b}", "b": "}"}) == "{b}}"


def test_the_name_of_a_column_may_hold_blanks_and_any_letters():
    values = {"Review Text": "a", "prix-€": "b", "0": "c"}
    assert Template("{Review Text}{prix-€}{0}").render(values) == "abc"


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (True, "true"),
        (3, "3"),
        (1.0, "1.0"),
        (["a", 1, None], '["a",1,null]'),
        ({"ä": [False]}, '{"ä":[false]}'),
        ("", ""),
    ],
)
def test_what_is_not_a_text_is_written_as_json(value, text):
    assert Template("{a}").render({"a": value}) == text


@pytest.mark.parametrize(
    ("spec", "value", "text"),
    [
        (".2f", 12.345, "12.35"),
        (".2f", 12, "12.00"),
        (".2f", "12.5", "12.50"),
        (",", 1234567, "1,234,567"),
        (".3", "abcdef", "abc"),
        (">6", "abc", "   abc"),
        ("*^7", True, "*true**"),
        ("05d", "42", "00042"),
        (".1%", 0.256, "25.6%"),
        ("", 5, "5"),
    ],
)
def test_a_format_is_pythons_and_a_number_may_come_as_text(spec, value, text):
    assert Template(f"{{a:{spec}}}").render({"a": value}) == text


@pytest.mark.parametrize("value", ["cheap", "", "1_000", "nan", [1], True, "012"])
def test_a_value_that_does_not_fit_its_format_is_an_error(value):
    with pytest.raises(TemplateError, match=r"^column 'price' does not fit .* '\.2f'") as caught:
        Template("{price:.2f}").render({"price": value})
    assert caught.value.column == "price"


def test_a_column_that_is_missing_is_named():
    with pytest.raises(TemplateError) as caught:
        Template("{id} {text}").render({"id": "1", "body": "x"})
    assert str(caught.value) == "column 'text' is missing; the row has id, body"
    assert caught.value.column == "text"


@pytest.mark.parametrize("template", ["{text}", "{text:>5}"])
def test_a_column_that_is_null_is_named(template):
    with pytest.raises(TemplateError, match=r"^column 'text' is null$"):
        Template(template).render({"text": None})


def test_a_value_without_a_json_form_is_named():
    with pytest.raises(TemplateError, match=r"column 'a' cannot be written as JSON"):
        Template("{a}").render({"a": object()})


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("{x.__class__}", "columns only"),
        ("{x[0]}", "columns only"),
        ("{x!r}", "conversions"),
        ("{}", "empty braces"),
        ("{:>5}", "empty braces"),
        ("{a", r"single '\{'"),
        ("a}", r"single '\}'"),
        ("{a:{b}}", r"single '\{'"),
        ('{"name": 1}', "not the name of a column: write '{{'"),
        ("{ a }", "not the name of a column"),
        ("{a\nb}", "not the name of a column"),
        ("{a:nonsense}", "not a format"),
        ("{a:99999999999d}", "not a format"),
        ("{a:.9999999f}", "not a format"),
    ],
)
def test_anything_but_a_column_is_refused(text, why):
    with pytest.raises(InvalidRequestError, match=why):
        Template(text)


def test_what_is_wrong_with_a_template_is_said_with_its_place():
    with pytest.raises(InvalidRequestError, match=r"line 2, column 4: ") as caught:
        Template("a {{b}}\nab {x.y}")
    assert caught.value.position == 11


@given(st.text(alphabet="{}a:.!0[ \n", max_size=12))
def test_no_template_has_another_error_than_its_own(text):
    with contextlib.suppress(InvalidRequestError):
        template = Template(text)
        assert not any(set(name) & set("{}.[!:") for name in template.columns)
        assert isinstance(template.render(dict.fromkeys(template.columns, "7")), str)
