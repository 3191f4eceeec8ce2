"""The same classes asked in other languages, a few wordings each; so that common requests are not lost on us."""

from __future__ import annotations

from typing import Final

__all__ = ["ABROAD"]

ABROAD: Final = {
    "summarization": """
Fasse {den folgenden Text|diesen Artikel|die E-Mail} {kurz |}zusammen: [DOC]
Résume {le texte suivant|cet article|ce document}{| en trois phrases} : [DOC]
Resume {el siguiente texto|este artículo}{| en tres frases}: [DOC]
Riassumi {il seguente testo|questo articolo}: [DOC]
Resuma {o texto a seguir|este artigo}: [DOC]
Vat {deze tekst|het artikel} samen: [DOC]
{总结|概括}一下{这篇文章|下面的内容}：[DOC]
{この文章|次のテキスト}を要約してください。[DOC]
Кратко {перескажи|изложи} {текст|статью}: [DOC]
""",
    "extraction": """
Extrahiere {alle Namen|das Datum|die Rechnungsnummer} aus {dem Text|dieser E-Mail}: [DOC]
Extrais {les noms|les dates|le montant} du {texte|message} : [DOC]
Extrae {los nombres|las fechas|el importe} del {texto|mensaje}: [DOC]
Estrai {i nomi|le date} dal testo: [DOC]
从{文本|邮件}中提取{姓名|日期|金额}：[DOC]
""",
    "classification": """
Ist {diese Bewertung|dieser Kommentar} positiv oder negativ? [MSG]
Klassifiziere {den Text|die Nachricht} als {Spam oder kein Spam|Lob oder Beschwerde}: [MSG]
Classe {ce message|cet avis} comme positif ou négatif : [MSG]
Clasifica {este mensaje|esta reseña} como positivo o negativo: [MSG]
{这条评论|这段话}是正面还是负面的？[MSG]
""",
    "rewriting": """
{Korrigiere|Verbessere} {diesen Satz|den folgenden Text}: [SENT]
Schreibe {das|diese E-Mail} {höflicher|formeller} um: [MSG]
{Corrige|Reformule} {cette phrase|ce texte} : [SENT]
{Corrige|Reescribe} {esta frase|este texto}: [SENT]
{润色|改写}{这段话|下面的句子}：[SENT]
""",
    "generation": """
Schreibe {ein Gedicht|eine Geschichte|einen Brief|eine E-Mail} über {den Winter|die Stadt|eine Reise}.
Écris {un poème|une histoire|une lettre|un e-mail} sur {l'hiver|la ville|un voyage}.
Escribe {un poema|un cuento|una carta|un correo} sobre {el invierno|la ciudad|un viaje}.
Scrivi {una poesia|una storia|una lettera} {sull'inverno|su un viaggio}.
Escreva {um poema|uma história|uma carta} sobre {o inverno|uma viagem}.
Schrijf {een gedicht|een verhaal|een brief} over {de winter|een reis}.
写一{首诗|个故事|封信}，关于{冬天|旅行}。
{冬|旅行}について{詩|物語}を書いてください。
Напиши {стихотворение|рассказ|письмо} о {зиме|городе}.
""",
    "code": """
Schreibe {eine Python-Funktion|ein Skript}, {die eine Liste sortiert|das eine Datei liest}.
Écris {une fonction Python|un script} qui {trie une liste|lit un fichier}.
Escribe {una función en Python|un script} que {ordene una lista|lea un archivo}.
用{Python|Java}写一个{函数|程序}，{对列表排序|读取文件}。
{Pythonで|JavaScriptで}{リストをソートする|ファイルを読む}関数を書いて。
Напиши функцию на {Python|Java}, которая {сортирует список|читает файл}.
""",
    "open_qa": """
{Was ist|Wie heißt} {die Hauptstadt von Spanien|der höchste Berg der Welt}?
{Warum|Wie} {ist der Himmel blau|funktioniert ein Motor}?
{Quelle est|Quel est} {la capitale de l'Italie|le plus long fleuve du monde} ?
¿{Cuál es|Qué es} {la capital de Francia|la fotosíntesis}?
{Qual è|Cos'è} {la capitale della Spagna|la fotosintesi}?
{Qual é|O que é} {a capital do Brasil|a fotossíntese}?
{法国的首都是哪里|光合作用是什么|为什么天空是蓝色的}？
{フランスの首都はどこ|光合成とは何}ですか？
{Какая столица Франции|Что такое фотосинтез|Почему небо голубое}?
""",
    "conversation": """
{Hallo|Guten Morgen|Wie geht es dir|Danke dir}{|!|?}
{Bonjour|Salut|Comment ça va|Merci beaucoup}{|!|?}
{Hola|Buenos días|Cómo estás|Muchas gracias}{|!|?}
{你好|早上好|你好吗|谢谢}{|！}
{こんにちは|おはよう|元気ですか|ありがとう}
{Привет|Как дела|Спасибо}{|!|?}
""",
    "planning": """
{Erstelle|Mach mir} einen {Plan|Zeitplan} für {eine Reise nach Rom|die nächste Woche}.
{Fais|Crée} un {plan|itinéraire} pour {trois jours à Rome|mon projet}.
{Haz|Crea} un {plan|itinerario} para {tres días en Roma|mi proyecto}.
{制定|做}一个{三天的旅行|学习}计划。
""",
    "brainstorming": """
{Nenne|Gib} mir {fünf|ein paar} Ideen für {ein Geschenk|den Geburtstag}.
Donne-moi {cinq|quelques} idées {de cadeaux|pour un anniversaire}.
Dame {cinco|algunas} ideas para {un regalo|una fiesta}.
给我{五个|一些}{礼物|活动}的建议。
""",
    "math": """
{Berechne|Was ist} {12 * 37|15 % von 240|die Wurzel aus 144}.
{Calcule|Combien font} {12 * 37|15 % de 240} ?
{Calcula|Cuánto es} {12 * 37|el 15 % de 240}?
{计算|求} {12 * 37|x^2 = 16 的解}。
""",
}
