"""A variant is a prompt, a system and a model; a deployment can store it as a mapping."""

from __future__ import annotations

import pytest

from meshflow_prefect import InvalidRequestError, TemplateError, Variant
from meshflow_prefect.models import DEFAULT_MODEL
from meshflow_prefect.uses.variants import variant_of


def test_a_variant_asks_a_case_with_its_columns():
    variant = Variant(
        prompt="Say {word}.",
        system="As a {who}.",
        model="claude-opus-5",
        max_tokens=9,
        params={"top_k": 3},
    )
    request = variant.request("a", {"word": "hi", "who": "cook"})

    assert variant.columns == ("word", "who")
    assert request.to_api_request()["params"] == {
        "model": "claude-opus-5",
        "max_tokens": 9,
        "messages": [{"role": "user", "content": "Say hi."}],
        "system": "As a cook.",
        "top_k": 3,
    }


def test_a_text_is_the_prompt_and_a_mapping_the_fields_with_defaults_for_the_rest():
    assert variant_of("Say {a}.", max_tokens=5) == Variant(prompt="Say {a}.", max_tokens=5)
    assert variant_of({"system": "Be kind."}, model="m") == Variant(system="Be kind.", model="m")
    assert variant_of(Variant(), model="m").model == DEFAULT_MODEL


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"promt": "x"}, "'promt' is not a field of a variant, which has: prompt, system, model"),
        (7, "expected a Variant, a prompt or a mapping of fields, got int"),
        ({"prompt": "Say {a"}, "a single '{'"),
        ({"prompt": None}, "prompt: expected a text, got NoneType"),
        ({"model": ""}, "model: expected the name of a model"),
        ({"max_tokens": 0}, "max_tokens: must be at least 1"),
        ({"params": {"stream": True}}, "the Message Batches API does not accept it"),
    ],
)
def test_what_is_wrong_whatever_the_case_is_refused_at_once(given, said):
    with pytest.raises(InvalidRequestError) as error:
        variant_of(given)
    assert said in error.value.message


def test_a_case_without_a_column_or_with_an_empty_prompt_is_refused():
    with pytest.raises(TemplateError, match="column 'prompt' is missing"):
        Variant().request("a", {})
    with pytest.raises(InvalidRequestError, match="the prompt is empty"):
        Variant().request("a", {"prompt": " "})
