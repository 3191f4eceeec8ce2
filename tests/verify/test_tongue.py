"""Which language a text is surely in."""

from __future__ import annotations

import pytest

from spillway.verify.tongue import differ, tongue_of

TEXTS = {
    "en": "The cat sat on the mat because it was tired, and the dog was in the garden with the children.",
    "de": "Die Katze saß auf der Matte, weil sie müde war, und der Hund war mit den Kindern im Garten.",
    "fr": "Le chat est sur le tapis parce qu'il est fatigué, et le chien dans le jardin avec les enfants.",
    "es": "El gato estaba en la alfombra porque estaba cansado, y el perro en el jardín con los niños.",
    "it": "Il gatto era sul tappeto perché era stanco, e il cane era nel giardino della casa con gli amici.",
    "nl": "De kat zat op de mat omdat ze moe was, en de hond was met de kinderen in de tuin van het huis.",
    "pl": "Kot leżał na macie, ponieważ był zmęczony, a pies nie był w ogrodzie, bo się bał i jest stary.",
    "tr": "Kedi çok yorgun olduğu için halının üzerinde uyudu ve köpek de çocuklar ile bir bahçede değil.",
    "el": "Η γάτα καθόταν στο χαλί γιατί ήταν κουρασμένη και ο σκύλος ήταν στον κήπο.",
    "zh": "因为猫很累，所以它坐在垫子上，狗和孩子们在花园里。",
    "ja": "猫は疲れていたのでマットの上に座っていて、犬は子供たちと庭にいました。",
    "ko": "고양이는 피곤해서 매트 위에 앉아 있었고 개는 아이들과 정원에 있었다.",
    "cyrillic": "Кошка сидела на коврике, потому что устала, а собака была в саду с детьми.",
    "arabic": "جلست القطة على السجادة لأنها كانت متعبة وكان الكلب في الحديقة مع الأطفال.",
    "th": "แมวนั่งบนเสื่อเพราะมันเหนื่อยและสุนัขอยู่ในสวนกับเด็กๆ",
}


@pytest.mark.parametrize(("language", "text"), TEXTS.items(), ids=TEXTS)
def test_languages_are_told_apart(language: str, text: str) -> None:
    """A sentence or two is enough."""
    assert tongue_of(text) == language


@pytest.mark.parametrize(
    "text",
    [
        "",
        "OK",
        "42 + 17 = 59, and 3 * 7 = 21",
        "Paris",
        "f(x) = a x^2 + b x + c, n = 5, d = 3, l = 2, x = 7, n = 9, d = 1, o = 2 " * 3,
        "get_user(id=5); set_value(name='x', value=3); run_all(); print(result); exit(0)",
        "```\nthe of and to is in for you that it with as\n```",
        "\x00\x01\x02" * 100,
    ],
)
def test_short_texts_formulas_and_code_are_not_judged(text: str) -> None:
    """Where nothing tells, nothing is said."""
    assert tongue_of(text) is None


def test_close_languages_never_differ() -> None:
    """Languages that short texts do not tell apart are not called different."""
    assert not differ("da", "no")
    assert not differ("cyrillic", "ru")
    assert not differ("zh", "han")
    assert differ("de", "en")
    assert differ("zh", "ja")
