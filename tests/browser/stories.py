"""The stories that tests let the scripted engine tell."""

from tests.browser.story import Word

SHORT = [
    Word(text="The"),
    Word(
        text=" sky",
        thought=" above is",
        mixing_weight=0.25,
        logprob=-0.6,
        base_logprob=-1.1,
    ),
    Word(
        text=" turns",
        thought=" dusk comes",
        mixing_weight=0.75,
        logprob=-0.25,
        base_logprob=-3.25,
        others=((" is", -1.75), (" glows", -4.0)),
        base_others=((" is", -0.25), (" was", -2.0)),
        is_overruled=True,
    ),
    Word(
        text=" red",
        thought=" low sun",
        mixing_weight=0.5,
        logprob=-2.0,
        base_logprob=-1.0,
    ),
    Word(text="."),
]
"""Two words without a thought; of the others, one became much more likely, one less likely."""

HOSTILE_TEXTS = (
    "<script>window.hacked = 1</script>",
    "<img src=x onerror='window.hacked = 2'>",
    "</div></main></body>",
    "<!-- ",
    "&lt;b&gt;&amp;",
    "<a href='javascript:window.hacked=3'>link</a>",
    "<style>* { display: none }</style>",
    "\x1b[31mred\x1b[0m",
    "\u202etfel\u202c",
    "\x00\x07\x7f",
    "{{constructor.constructor('window.hacked=4')()}}",
    '" autofocus onfocus="window.hacked = 5',
)
"""Texts that a page must show as they are: markup, escapes, controls, a change of direction."""

HOSTILE = [
    Word(
        text=text,
        thought=text,
        mixing_weight=0.5,
        logprob=-1.0,
        base_logprob=-2.0,
        others=((text, -3.0),),
        base_others=((text, -4.0),),
    )
    for text in HOSTILE_TEXTS
]

_WORDS = ("the", "wave", "of", "quiet", "words", "runs", "ahead", "and", "thinks", "first", "so")


def long_story(length: int) -> list[Word]:
    """As many words, of which all but each fifth have a thought; the same ones each time."""
    words = []
    for number in range(length):
        thinks = number % 5 > 0
        words.append(
            Word(
                text="\n" if number % 40 == 39 else f" {_WORDS[number * 7 % len(_WORDS)]}",
                thought=f" {_WORDS[number * 5 % len(_WORDS)]} then" if thinks else "",
                mixing_weight=number % 11 / 10,
                logprob=-(number % 7) / 2,
                base_logprob=-(number % 9) / 2,
                others=((" or", -1.5), (" not", -2.5), (" to", -3.5)),
                base_others=((" be", -0.25), (" or", -2.5)),
                is_overruled=thinks and number % 9 > 0 and number % 4 == 0,
            )
        )
    return words
