"""Text with structure to learn at several ranges, made from a seed."""

import random

import torch
from torch import Tensor

_LETTERS = "abcdefghijklmnopqrst"
_SIGNS = " .()[]=;"
VOCABULARY = len(_LETTERS) + len(_SIGNS)
"""Characters of the text."""
_PAIRS = ("()", "[]")


def write_text(seed: int, *, characters: int) -> Tensor:
    """Tokens of a made language, int64 (characters,).

    Words are spelt from a lexicon and used by Zipf's law; which word class follows which is a
    Markov chain; brackets nest and close in order; a name that was defined ("ab=") comes back in
    the sentences after it. So there is something for letters, words, grammar and context to learn.
    """
    draw = random.Random(seed)
    classes = [[_word(draw, 2, 6) for _ in range(40)] for _ in range(6)]
    weights = [1 / (rank + 1) for rank in range(40)]
    follows = [draw.choices(range(6), k=2) for _ in range(6)]
    names = [_word(draw, 3, 3)]
    parts: list[str] = []
    length = 0
    while length < characters:
        sentence = _sentence(draw, classes, weights, follows, names)
        parts.append(sentence)
        length += len(sentence)
    numbers = {sign: number for number, sign in enumerate(_LETTERS + _SIGNS)}
    return torch.tensor([numbers[sign] for sign in "".join(parts)[:characters]])


def _word(draw: random.Random, least: int, most: int) -> str:
    return "".join(draw.choices(_LETTERS, k=draw.randint(least, most)))


def _sentence(
    draw: random.Random,
    classes: list[list[str]],
    weights: list[float],
    follows: list[list[int]],
    names: list[str],
) -> str:
    if draw.random() < 0.3:
        names.append(_word(draw, 3, 3))
        del names[:-2]
        words = [f"{names[-1]}="]
    else:
        words = []
    open_ones: list[str] = []
    kind = draw.randrange(6)
    for _ in range(draw.randint(3, 8)):
        if draw.random() < 0.2:
            pair = draw.choice(_PAIRS)
            words.append(pair[0])
            open_ones.append(pair[1])
        words.append(
            draw.choice(names) if draw.random() < 0.3 else draw.choices(classes[kind], weights)[0]
        )
        if open_ones and draw.random() < 0.4:
            words.append(open_ones.pop())
        kind = draw.choice(follows[kind])
    return " ".join([*words, *reversed(open_ones)]) + draw.choice((". ", "; "))
