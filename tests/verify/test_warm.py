"""What gates need is there before the first answer comes."""

from __future__ import annotations

import sys

from spillway.verify import warm_up
from spillway.verify.refusals import _patterns
from spillway.verify.tongue import _language_names
from spillway.verify.word_lists import languages_of


def test_warming_up_loads_all_that_is_read_when_first_needed() -> None:
    """Patterns of refusals, word lists, names of languages, and the library for schemas."""
    loaded_once = (_patterns, _language_names, languages_of)
    for each in loaded_once:
        each.cache_clear()
    warm_up()
    assert [each.cache_info().currsize for each in loaded_once] == [1, 1, 1]
    assert "jsonschema_rs" in sys.modules
