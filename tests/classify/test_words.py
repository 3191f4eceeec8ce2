from __future__ import annotations

import pytest

from spillway.classify.words import trim, words_of


@pytest.mark.parametrize(
    "text",
    [
        "Please summarise this text",
        "Could you please summarise this text",
        "  summarise   this\n text\n",
        "Hi there! Can you summarise this text",
        "summarise this text, thanks!",
        "Summarise this text thank you very much in advance!",
        "I would appreciate it if you could summarise this text please",
    ],
)
def test_politeness_and_white_space_change_nothing(text: str) -> None:
    """The same request said politely gives the same words."""
    assert words_of(trim(text)) == ["summarise", "this", "text"]


def test_a_closing_thank_you_leaves_the_mark_before_it() -> None:
    """A question stays a question."""
    assert trim("What is rain? Thanks a lot in advance!") == "What is rain?"


def test_a_text_of_nothing_but_politeness_keeps_its_words() -> None:
    """ "Thanks!" is still something to answer."""
    assert words_of(trim("Thank you so much!"))[:2] == ["thank", "you"]


def test_digits_become_zeros() -> None:
    """Numbers count by their length, not their value."""
    assert words_of("Add 12 and 345") == ["add", "00", "and", "000"]


def test_scripts_without_spaces_are_cut_into_characters() -> None:
    """Chinese and Japanese text gives one word a character, so that pairs mean something."""
    assert words_of("翻译成英文") == ["翻", "译", "成", "英", "文"]


def test_letters_with_marks_stay_in_their_words() -> None:
    """Accented, Cyrillic and Greek words stay whole."""
    assert words_of("Où est l'école, где Αθήνα") == ["où", "est", "l'école", ",", "где", "αθήνα"]
