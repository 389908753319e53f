"""What schemes are judged on: a context whose cache is coded, and continuations that are run on what came back.

Suites: *text* (the tokens that follow in a held-out text), *copy* (the continuation repeats an early excerpt of the context), *needle*
(facts strewn over a long context are asked for). All are teacher-forced, so every scheme is asked the same tokens.
"""

import hashlib
import json
import random
from dataclasses import dataclass

from sluice.quality import texts


@dataclass(frozen=True)
class Continuation:
    """tokens are fed after the context; the predictions of rows first_row and later are judged."""

    tokens: tuple
    first_row: int = 0


@dataclass(frozen=True)
class Trial:
    kind: str
    name: str
    context: tuple
    continuations: tuple

    @property
    def identity(self):
        told = json.dumps([self.context, [(c.tokens, c.first_row) for c in self.continuations]])
        return hashlib.sha256(told.encode()).hexdigest()[:16]


def passage_tokens(tokenizer, passage, count):
    return texts.tokens_of(tokenizer, texts.read_passage(passage, at_least=8 * count), count, passage.name)


def text_trials(tokenizer, passages, context, scored):
    trials = []
    for passage in passages:
        tokens = passage_tokens(tokenizer, passage, context + scored)
        trials.append(Trial(passage.kind, passage.name, tuple(tokens[:context]), (Continuation(tuple(tokens[context:])),)))
    return trials


def copy_trials(tokenizer, passages, context, scored):
    """The continuation repeats the `scored` tokens that begin an eighth into the context."""
    trials = []
    for passage in passages:
        tokens = passage_tokens(tokenizer, passage, context)
        start = context // 8
        again = tuple(tokens[start:start + scored])
        trials.append(Trial(passage.kind, "copy " + passage.name, tuple(tokens), (Continuation(again, 16),)))
    return trials


CITIES = ("Lisbon", "Oslo", "Cairo", "Lima", "Kyoto", "Denver", "Nairobi", "Perth")


def needle_trials(tokenizer, passages, context, seed=1):
    """Eight sentences with a number each, evenly strewn over `context` tokens of text; each is asked for by its own beginning."""
    trials = []
    for index, passage in enumerate(passages):
        chance = random.Random(seed + index)
        facts = [(f"\nThe secret number of {city} is", f" {chance.randrange(10000, 99999)}.") for city in CITIES]
        needles = [tokenizer.encode(question + answer + "\n") for question, answer in facts]
        filler = passage_tokens(tokenizer, passage, context)
        piece = (context - sum(map(len, needles))) // len(needles)
        tokens = []
        for number, needle in enumerate(needles):
            tokens += filler[number * piece:(number + 1) * piece] + needle
        asked = []
        for question, answer in facts:
            start = tokenizer.encode(question)
            asked.append(Continuation(tuple(start + tokenizer.encode(question + answer)[len(start):]), len(start) - 1))
        trials.append(Trial(passage.kind, "needle " + passage.name, tuple(tokens), tuple(asked)))
    return trials
