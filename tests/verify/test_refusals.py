"""Refusals in many languages, and answers that only sound like one."""

from __future__ import annotations

import pytest

from spillway.verify.refusals import is_refusal, opens_like_refusal

REFUSALS = (
    "I'm sorry, but I can't help with that.",
    "I’m sorry, but I can’t assist with that request.",
    "I cannot fulfill this request.",
    "I am unable to provide medical advice.",
    "Sorry, I can't do that.",
    "Unfortunately, I cannot create content of that kind. Is there something else?",
    "As an AI language model, I cannot browse the internet.",
    "As an AI, I don't have the ability to open files.",
    "I apologize, but I'm not able to discuss that topic.",
    "I'm sorry, but I don't have access to real-time data.",
    "I must decline. This is not something I can do.",
    "I'm afraid I can't do that.",
    "I won't help with that.",
    "Es tut mir leid, aber dabei kann ich Ihnen nicht helfen.",
    "Leider kann ich diese Anfrage nicht beantworten.",
    "Ich kann dir dabei leider nicht helfen.",
    "Je suis désolé, mais je ne peux pas vous aider avec cela.",
    "Je ne peux pas répondre à cette demande.",
    "Lo siento, pero no puedo ayudarte con eso.",
    "No puedo proporcionar esa información.",
    "Desculpe, mas não posso ajudar com isso.",
    "Infelizmente, não posso fornecer essa informação.",
    "Mi dispiace, ma non posso aiutarti con questa richiesta.",
    "Het spijt me, maar ik kan je daar niet mee helpen.",
    "Przykro mi, ale nie mogę pomóc w tej sprawie.",
    "Bohužel s tím nemohu pomoci.",
    "К сожалению, я не могу помочь с этим запросом.",
    "Извините, но я не могу предоставить эту информацию.",
    "На жаль, я не можу допомогти з цим.",
    "Üzgünüm, bu konuda size yardımcı olamam.",
    "Maaf, saya tidak dapat membantu dengan permintaan itu.",
    "Xin lỗi, tôi không thể giúp bạn việc này.",
    "抱歉，我无法提供这方面的帮助。",
    "对不起，我不能回答这个问题。",
    "申し訳ありませんが、そのご要望にはお応えできません。",
    "죄송하지만 그 요청은 도와드릴 수 없습니다.",
    "عذرًا، لا أستطيع المساعدة في هذا الطلب.",
    "क्षमा करें, मैं इसमें सहायता नहीं कर सकता।",
    "Λυπάμαι, αλλά δεν μπορώ να βοηθήσω με αυτό.",
)
ANSWERS = (
    "Sorry for the delay! The train leaves at nine.",
    "Dear Karen, I'm sorry, but I can't come to your party on Friday. Have fun!",
    "You can't divide by zero; the limit is infinite.",
    "He said he could not help with that.",
    "The word 'sorry' comes from Old English.",
    '{"error": "I cannot help with that"}',
    "```python\n# I can't help it\nprint(1)\n```",
    "No.",
    "Unfortunately, the Titanic sank in 1912.",
    "I can help you with that: first open the settings.",
    "A polite way to decline is: 'Unfortunately, that week is full.'",
    "Entschuldigung heißt auf Englisch 'sorry'.",
    "No puedes entrar sin billete.",
    "I'm sorry, but I can't help with that in general; however, here is what the manual says: press reset.",
    "",
)


@pytest.mark.parametrize("text", REFUSALS)
def test_refusals_are_found(text: str) -> None:
    """What models say when they decline is found, in twenty languages."""
    assert is_refusal(text)


@pytest.mark.parametrize("text", ANSWERS)
def test_answers_are_not_refusals(text: str) -> None:
    """An answer that apologises, quotes or denies something else is none."""
    assert not is_refusal(text)


def test_a_long_answer_is_not_a_refusal() -> None:
    """A text that declines one thing and goes on for pages is left to its reader."""
    assert not is_refusal("I can't give legal advice. " + "The law of contracts knows many forms. " * 30)


def test_only_the_opening_counts() -> None:
    """A refusal deep in an answer is part of it."""
    assert not opens_like_refusal("Here is the plan. " * 12 + "I can't help with the rest.")
