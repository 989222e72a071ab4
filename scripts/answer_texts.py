"""Texts to score: seeded answers to IFEval's prompts and to sums, some right, some nearly, some wrong.

Each IFEval answer is built for its instructions (words put in or taken out, counts met or missed by one, formats kept
or broken), out of sentences that are hard to cut: abbreviations, initials, ellipses, quotations, prices, links, several
scripts. Nothing is taken from any data set; the prompts come in as arguments.
"""

import json
import random
import re

SENTENCES = """Mr. Stone left the U.S. office at 5 p.m. yesterday.
She said, "Stop!" and closed the door.
It costs $3.50... maybe more.
Version 2.0 is out!
What?! No way.
(Really.) Yes, really.
“Curly quotes matter.” Everybody agreed.
J. R. Miller and A. B. Chen wrote the report.
Dr. Lee met Prof. Gray, Jr. in St. Louis.
See fig. 3 for details, e.g. the left half.
I can't believe it. You cannot either. We're gonna see.
The state-of-the-art machine -- truly new -- hums.
Visit https://example.org/a?b=c or write to a.b@example.org today.
NASA and the FBI's DATA are PUBLIC.
DON'T STOP NOW, OK?
Rock 'n' roll never dies
The temperature fell to -3.5 degrees in Jan. 1999.
No. 5 is alive. No. It is not.
He earns 1,200.50 a month. 15 people know.
Acme Inc. bought Widget Corp. last year. Ltd. companies followed.
Wait . . . what was that?
Etc. etc. and so on.
The end. The beginning. i think so. maybe not.
Ph.D. students read vs. write, i.e. they learn.
A. First point. B. Second point. c. third point.
'Single quotes.' Then more.
Is it [name] or [address: street, city]?
This is *important* and **very important** indeed.
- a dash that begins a line
* a star that begins a line
P.S. I forgot the milk.
P.P.S. And the bread.
Tom said: 'Tis late. 'Twas later. D'ye see?
The U.N. He left the U.K. Yesterday was cold.
In the a.m. Sarah runs; in the p.m. nobody does.
Éclairs are ÉTÉ treats. ¿Qué? ¡Sí!
Emoji 🎉 end sentences too 🎉. Do they?
A list: one; two; three.
Price: 5€. Weight: 3kg. Size: 10 cm.
Sentence without end
It's 10:30 a.m. Monday. The train left at 9:15.
“Nested ‘quotes’ here,” he said. ”Odd.”
Yes.No.Maybe.So.
Hmm... Well... OK... fine....
Go!!! Now!!! Please???
She lives on Park Ave. Near the river. On Sept. 3 she moved.
The river was wide and the people sang about their day.
My dog has an idea for a story about war and peace.
Every student should practise the piano for one hour.
The old house stood at the end of a long road.""".split("\n")

LANGUAGES = {
    "en": "The weather is nice today and we are going to the park with our children.",
    "de": "Das Wetter ist heute schön und wir gehen mit unseren Kindern in den Park.",
    "fr": "Il fait beau aujourd'hui et nous allons au parc avec nos enfants.",
    "es": "Hoy hace buen tiempo y vamos al parque con nuestros hijos.",
    "it": "Oggi il tempo è bello e andiamo al parco con i nostri bambini.",
    "pt": "Hoje o tempo está bom e vamos ao parque com as nossas crianças.",
    "nl": "Het weer is vandaag mooi en we gaan met onze kinderen naar het park.",
    "fi": "Sää on tänään kaunis ja menemme lastemme kanssa puistoon.",
    "sw": "Hali ya hewa ni nzuri leo na tunaenda bustanini na watoto wetu.",
    "vi": "Hôm nay thời tiết đẹp và chúng tôi đi công viên cùng các con.",
    "ru": "Сегодня хорошая погода, и мы идём в парк с нашими детьми.",
    "bg": "Днес времето е хубаво и ние отиваме в парка с нашите деца.",
    "uk": "Сьогодні гарна погода, і ми йдемо до парку з нашими дітьми.",
    "ar": "الطقس جميل اليوم ونحن ذاهبون إلى الحديقة مع أطفالنا.",
    "fa": "امروز هوا خوب است و ما با بچه‌هایمان به پارک می‌رویم.",
    "ur": "آج موسم اچھا ہے اور ہم اپنے بچوں کے ساتھ پارک جا رہے ہیں۔",
    "he": "מזג האוויר יפה היום ואנחנו הולכים לפארק עם הילדים שלנו.",
    "hi": "आज मौसम अच्छा है और हम अपने बच्चों के साथ पार्क जा रहे हैं।",
    "mr": "आज हवामान छान आहे आणि आम्ही आमच्या मुलांसोबत उद्यानात जात आहोत.",
    "ne": "आज मौसम राम्रो छ र हामी हाम्रा बच्चाहरूसँग पार्क जाँदैछौं।",
    "bn": "আজ আবহাওয়া ভালো এবং আমরা আমাদের শিশুদের সাথে পার্কে যাচ্ছি।",
    "pa": "ਅੱਜ ਮੌਸਮ ਵਧੀਆ ਹੈ ਅਤੇ ਅਸੀਂ ਆਪਣੇ ਬੱਚਿਆਂ ਨਾਲ ਪਾਰਕ ਜਾ ਰਹੇ ਹਾਂ।",
    "gu": "આજે હવામાન સારું છે અને અમે અમારા બાળકો સાથે પાર્કમાં જઈ રહ્યા છીએ.",
    "ta": "இன்று வானிலை நன்றாக உள்ளது, நாங்கள் குழந்தைகளுடன் பூங்காவிற்குச் செல்கிறோம்.",
    "te": "ఈరోజు వాతావరణం బాగుంది, మేము మా పిల్లలతో పార్కుకు వెళ్తున్నాము.",
    "kn": "ಇಂದು ಹವಾಮಾನ ಚೆನ್ನಾಗಿದೆ ಮತ್ತು ನಾವು ನಮ್ಮ ಮಕ್ಕಳೊಂದಿಗೆ ಉದ್ಯಾನವನಕ್ಕೆ ಹೋಗುತ್ತಿದ್ದೇವೆ.",
    "ml": "ഇന്ന് കാലാവസ്ഥ നല്ലതാണ്, ഞങ്ങൾ കുട്ടികളോടൊപ്പം പാർക്കിലേക്ക് പോകുന്നു.",
    "th": "วันนี้อากาศดีและเรากำลังไปสวนสาธารณะกับลูก ๆ ของเรา",
    "ko": "오늘은 날씨가 좋아서 우리는 아이들과 함께 공원에 갑니다.",
    "ja": "今日は天気がいいので、子供たちと公園に行きます。",
    "zh": "今天天气很好，我们和孩子们一起去公园。",
    "pl": "Dzisiaj jest ładna pogoda i idziemy z dziećmi do parku.",
    "tr": "Bugün hava güzel ve çocuklarımızla parka gidiyoruz. İstanbul ılık.",
}

JSON_TEXTS = ['{"a": 1, "b": [true, null, 2.5e3]}', '{"a": NaN}', "[1, 2, 3]", '{"a": 1,}', "{'a': 1}", '"text"', "12",
              '{"a": "line\nbreak"}', '{"a": "\\ud83d"}', '{"a": {"b": {"c": []}}}', "{}", '{"a": 1} trailing',
              "-Infinity", "[" * 40 + "]" * 40, '{"a": 01}', '{"a": "\\x41"}', '\ufeff{"a": 1}', '{"a": 1}\u00a0']
FENCES = ["```json\n%s\n```", "```JSON\n%s\n```", "```Json\n%s```", "```\n%s\n```", "%s", "`%s`", "Here it is:\n```\n%s\n```",
          "```json```json\n%s\n``````", "```python\n%s\n```"]


# Items of our own, one for every kind of instruction: what the fixtures are made of.
OWN_ITEMS = [
    ("keywords:existence", {"keywords": ["river", "Piano"]}),
    ("keywords:frequency", {"keyword": " dog ", "frequency": 2, "relation": "at least"}),
    ("keywords:forbidden_words", {"forbidden_words": ["tree", "sky"]}),
    ("keywords:letter_frequency", {"letter": "Z", "let_frequency": 3, "let_relation": "less than"}),
    ("language:response_language", {"language": "hi"}),
    ("length_constraints:number_sentences", {"num_sentences": 3, "relation": "less than"}),
    ("length_constraints:number_paragraphs", {"num_paragraphs": 2}),
    ("length_constraints:number_words", {"num_words": 12, "relation": "at least"}),
    ("length_constraints:nth_paragraph_first_word", {"num_paragraphs": 3, "nth_paragraph": 2, "first_word": "Stone"}),
    ("detectable_content:number_placeholders", {"num_placeholders": 3}),
    ("detectable_content:postscript", {"postscript_marker": "P.P.S"}),
    ("detectable_content:postscript", {"postscript_marker": "NB:"}),
    ("detectable_format:number_bullet_lists", {"num_bullets": 2}),
    ("detectable_format:constrained_response", {}),
    ("detectable_format:number_highlighted_sections", {"num_highlights": 2}),
    ("detectable_format:multiple_sections", {"section_spliter": "Part", "num_sections": 2}),
    ("detectable_format:json_format", {}),
    ("detectable_format:title", {}),
    ("combination:two_responses", {}),
    ("combination:repeat_prompt", {"prompt_to_repeat": "Name three colours. Be short."}),
    ("startend:end_checker", {"end_phrase": "That is all."}),
    ("startend:quotation", {}),
    ("change_case:capital_word_frequency", {"capital_frequency": 3, "capital_relation": "at least"}),
    ("change_case:english_capital", {}),
    ("change_case:english_lowercase", {}),
    ("punctuation:no_comma", {}),
]


def own_items():
    return [{"key": i, "prompt": "", "instruction_id_list": [kind], "kwargs": [args]}
            for i, (kind, args) in enumerate(OWN_ITEMS)]


def some(rng, least, most):
    return [rng.choice(SENTENCES) for _ in range(rng.randint(least, most))]


def near(rng, count):
    """A count that is met, or missed by one."""
    return max(0, count + rng.choice([-1, 0, 0, 0, 1]))


def compare(rng, args, relation, count):
    """How many to write for a bound that is met, or missed by one."""
    limit = args.get(count) or 3
    below = args.get(relation) == "less than"
    return max(0, limit - rng.choice([0, 1, 1, 1, 2]) if below else limit + rng.choice([-1, 0, 0, 1]))


def cased(rng, word):
    return rng.choice([word, word.upper(), word.capitalize(), word.lower(), word + "s", "x" + word])


def shape(rng, text, kind, args):
    """The text, made to follow one instruction, or nearly."""
    if kind == "keywords:existence":
        words = args.get("keywords") or ["tree"]
        return text + " " + " ".join(cased(rng, w) for w in (words if rng.random() < 0.7 else words[1:]))
    if kind == "keywords:frequency":
        word = args.get("keyword") or "tree"
        text = re.sub(re.escape(word), "", text, flags=re.IGNORECASE)
        return text + "".join(f" {cased(rng, word)}{rng.choice(['', ',', '.', '-x'])}"
                              for _ in range(compare(rng, args, "relation", "frequency")))
    if kind == "keywords:forbidden_words":
        for word in args.get("forbidden_words") or ["tree"]:
            with_it = rng.choice(["{}s", "un{}", "_{}", "{}", "{}-like", "{}\u0301", "{}1", "({})"]).format(word)
            text = re.sub(r"\b" + re.escape(word) + r"\b", "thing", text, flags=re.IGNORECASE)
            text += " " + cased(rng, with_it) if rng.random() < 0.3 else ""
        return text
    if kind == "keywords:letter_frequency":
        letter = args.get("letter") or "a"
        text = re.sub(re.escape(letter), "", text, flags=re.IGNORECASE)
        return text + " " + "".join(rng.choice([letter, letter.upper()])
                                    for _ in range(compare(rng, args, "let_relation", "let_frequency")))
    if kind == "language:response_language":
        code = args.get("language") or "en"
        right = LANGUAGES.get(code, LANGUAGES["en"])
        other = LANGUAGES[rng.choice(sorted(LANGUAGES))]
        return rng.choice([right, right, right + " " + right, other, right + " " + other, text, "1234 ...", right + " " + text])
    if kind == "length_constraints:number_sentences":
        wanted = compare(rng, args, "relation", "num_sentences")
        if rng.random() < 0.5:
            return " ".join(f"The {i}th line is here." for i in range(wanted)) or "None"
        return rng.choice([" ", "\n", "  ", "\n\n"]).join(some(rng, max(1, wanted - 1), wanted + 1))
    if kind == "length_constraints:number_paragraphs":
        wanted = near(rng, args.get("num_paragraphs") or 2)
        mark = rng.choice(["\n***\n", "***", "\n\n***\n\n", " *** ", "\n* * *\n", "\n******\n", "\n****\n"])
        ends = rng.choice(["", "", "***", "***\n"])
        return ends + mark.join(" ".join(some(rng, 1, 2)) for _ in range(wanted)) + rng.choice(["", ends])
    if kind == "length_constraints:number_words":
        wanted = compare(rng, args, "relation", "num_words")
        words = (text + " ") * 40 if rng.random() < 0.5 else "word don't stop-gap हिन्दी naïve 1,000 a_b e\u0301te\u0301 " * 200
        return " ".join(words.split()[:wanted])
    if kind == "length_constraints:nth_paragraph_first_word":
        wanted = near(rng, args.get("num_paragraphs") or 2)
        paragraphs = [" ".join(some(rng, 1, 2)) for _ in range(wanted)]
        nth = (args.get("nth_paragraph") or 1) - 1
        if nth < len(paragraphs):
            first = rng.choice(["{}", "{},", "'{}'", '"{}"', "{}'s", "**{}**", "{}-like", "\n{}", "'\"{}"])
            paragraphs[nth] = first.format(cased(rng, args.get("first_word") or "it")) + " " + paragraphs[nth]
        return rng.choice(["\n\n", "\n\n", "\n\n", "\n\n\n", "\n \n", "\n\n\n\n"]).join(paragraphs)
    if kind == "detectable_content:number_placeholders":
        marks = ["[name]", "[address]", "[]", "[a b]", "[[x]", "[date]"]
        return text + " " + " ".join(rng.choice(marks) for _ in range(near(rng, args.get("num_placeholders") or 2)))
    if kind == "detectable_content:postscript":
        marker = args.get("postscript_marker") or "P.S."
        forms = [marker, marker.lower(), marker.replace(".", ". "), marker.replace(".", ""), "P.S.", "P.P.S", "p. s. ", "PS:"]
        return text + rng.choice(["\n\n", " "]) + rng.choice(forms) + " One more thing."
    if kind == "detectable_format:number_bullet_lists":
        wanted = near(rng, args.get("num_bullets") or 2)
        return text + "\n" + "\n".join(rng.choice(["* one", "- two", "  * three", "*four", "** five", "*", "* ", "-", "+ six"]
                                                  if rng.random() < 0.3 else ["* one"]) for _ in range(wanted))
    if kind == "detectable_format:constrained_response":
        return rng.choice(["My answer is yes.", "My answer is no.", "My answer is maybe.", "My answer is yes", "my answer is no.",
                           text + " My answer is maybe.", "*My answer is* no."])
    if kind == "detectable_format:number_highlighted_sections":
        marks = ["*point*", "**point**", "* *", "****", "*a\nb*", "** **", "***x***", "*a**b*"]
        wanted = near(rng, args.get("num_highlights") or 2)
        return text + "\n" + rng.choice([" ", "\n", ""]).join(rng.choice(marks if rng.random() < 0.4 else marks[:2])
                                                            for _ in range(wanted))
    if kind == "detectable_format:multiple_sections":
        name = args.get("section_spliter") or "Section"
        form = rng.choice(["{} {}", "{}{}", "{} {}:", "**{} {}**", "{}: {}", "{}\n{}", "{}  {}", "x{} {}"])
        name = rng.choice([name, name, name, name.lower()])
        return "\n".join(form.format(name, i + 1) + "\n" + rng.choice(SENTENCES)
                         for i in range(near(rng, args.get("num_sections") or 2)))
    if kind == "detectable_format:json_format":
        inside = rng.choice(JSON_TEXTS) if rng.random() < 0.7 else json.dumps({"text": text})
        return rng.choice(FENCES) % inside
    if kind == "detectable_format:title":
        return rng.choice(["<<A title>>", "<< >>", "<<>>", "<A title>", "<<A\ntitle>>", "<<<x>>>", "<<a>> <<b>>", "<<<>>>"]) + "\n" + text
    if kind == "combination:two_responses":
        first, second = " ".join(some(rng, 1, 2)), " ".join(some(rng, 1, 2))
        return rng.choice([f"{first}\n******\n{second}", f"{first}******{first}", f"******{first}******{second}******", f"{first}***{second}",
                           f"{first}******{second}******{text}", f"{first}******  ******{second}", f"{first}*******{second}"])
    if kind == "combination:repeat_prompt":
        prompt = args.get("prompt_to_repeat") or "Say it."
        return rng.choice([prompt, prompt.upper(), "  " + prompt, "\n" + prompt.lower(), prompt[:-1], "Sure! " + prompt, "*" + prompt]) + "\n\n" + text
    if kind == "startend:end_checker":
        phrase = args.get("end_phrase") or "The end."
        return text + "\n" + rng.choice([phrase, phrase.upper(), f'{phrase}"', phrase + "\n", phrase + " ok", f"*{phrase}*", phrase[:-1]])
    if kind == "startend:quotation":
        return rng.choice(['"{}"', ' "{}" \n', '"{}', '“{}”', "'{}'", '"{}".', '*"{}"*']).format(text)
    if kind == "change_case:capital_word_frequency":
        words = ["NASA", "DON'T", "CANNOT", "A.B.", "X-RAY", "I", "U.S.", "USA.", "B2B", "JOHN'S", "WE'LL", "(OK)", "GONNA", '"YES"', "ÉTÉ", "A/B", "R&D", "Σ", "C++"]
        wanted = compare(rng, args, "capital_relation", "capital_frequency")
        return text.lower() + " " + rng.choice([" ", ", ", ". "]).join(rng.choice(words) for _ in range(wanted))
    if kind == "change_case:english_capital":
        return rng.choice([text, text, LANGUAGES["de"], "OK!", "THE END " * 3]).upper() + rng.choice(["", "", "", " x", "ª"])
    if kind == "change_case:english_lowercase":
        return rng.choice([text, text, LANGUAGES["fr"], LANGUAGES["en"], "123"]).lower() + rng.choice(["", "", "", " X", "ǅ"])
    if kind == "punctuation:no_comma":
        return text.replace(",", "") + rng.choice(["", "", "", ",", "，", "\u201a"])
    return text


def dressed(rng, text):
    """What models put around their answers."""
    return rng.choice(["{}", "{}", "{}", "Sure! Here it is:\n{}", "{}\nI hope this helps!", "Sure:\n{}\nBye.", "*{}*", "**{}**", "\n\n{}\n", "# {}"]).replace("{}", text)


def ifeval_answers(rng, item, count):
    """Answers to one item: one without regard to it, an empty or odd one, the others built for its instructions."""
    yield dressed(rng, rng.choice([" ", "\n"]).join(some(rng, 1, 12)))
    yield rng.choice(["", "   \n", "\u200b", "...", "No.", rng.choice(sorted(LANGUAGES.values())), "*", "\n", "A\n\nB", "\x1c"])
    for _ in range(count - 2):
        text = " ".join(some(rng, 1, 5))
        parts = [(kind, {k: v for k, v in args.items() if v})
                 for kind, args in zip(item["instruction_id_list"], item["kwargs"])]
        for kind, args in rng.sample(parts, len(parts)):
            text = shape(rng, text, kind, args)
        yield dressed(rng, text)


def number(rng, value):
    """A number as models write it."""
    return rng.choice(["{}", "{}", "{:,}", "${}", "${:,}", "{}.", "{}.00", "-{}", " {}", "{},", "**{}**", "\\boxed{{{}}}", "{}%", "{} dollars",
                       "$ {}", "{}.5", "1{}", "€{}", "+{}", "({})", "−{}"]).format(value)


def sum_answers(rng, count):
    """Pairs of a reference answer and a generated one."""
    for _ in range(count):
        value = rng.choice([rng.randint(0, 20), rng.randint(0, 2000), rng.randint(10_000, 9_999_999)])
        other = rng.choice([value, value, value, value + 1, rng.randint(0, 99)])
        steps = " ".join(rng.choice(SENTENCES + [f"{value} + 2 = {value + 2}.", "So <<3*4=12>>12 apples.", "٣ and 五 and ½ and २०.",
                                                 "A-1, B-2.", "...", "-", "$$", "1,000,000 or 1.000.000", "#### ", "##### 5", "####7"])
                         for _ in range(rng.randint(0, 4)))
        answer = number(rng, other)
        ends = ["#### {}", "#### {}", "####{}", "#### {}\n#### 7", "The answer is {}.", "The answer is {}", "The final answer is {}. I hope it is correct.",
                "####  {}", "### {}", "#### **{}**", "{}", "Answer: {}\n\nQuestion: How many?", "####\u00a0{}", "{} #### ", "#### {}.", "(B) is {}", "Yes, {}", "True"]
        text = rng.choice(["", " ", "\n"]) + steps + rng.choice(["\n", " ", ""]) + rng.choice(ends).replace("{}", answer)
        reference = rng.choice([str(value), f"{value:,}", f"She has {value} left.\n#### {value:,}", f"5*2=10\n#### {value}"])
        yield reference, text


def shorter(rng, texts, count):
    """Texts for patterns of every kind."""
    chosen = [rng.choice(texts) for _ in range(count)]
    return ["", "a", "\n", "ab\n", "(A) or (B)", "The answer is (C).", "yes No\nTrue", "Answer: D"] + chosen


def generator(seed):
    return random.Random(seed)
