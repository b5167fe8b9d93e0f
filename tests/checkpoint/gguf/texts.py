"""Texts on which tokenizers differ."""

TEXTS = (
    "the other thing",
    "It's 12345 of 2024, they'll pay 1 000 000.5!",
    "IT'S WE'LL don'T DON'T can't",
    "日本語と中文、한국어 mixed",
    "emoji 🙂🙂 and 👩‍👩‍👧 é é ñ",
    "  two spaces,   three,\ttab\n\nnew\r\n lines \n ",
    " 1  2   3\n4",
    "x==y && (a+b)*c... [z] {q} <tag> ^~|`$",
    "a<think>b</s>c <s> d<unk>",
    "zqxj zqxj1",
    "١٢٣ ⅷ ½ x²",
    "ÉCOLE été ǅ",
    "end \u3000wide\u00a0nbsp\u2003em",
    "",
    "   ",
)
