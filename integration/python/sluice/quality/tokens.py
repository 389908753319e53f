"""Text to token ids as the model was trained on it: byte-level BPE by the `tokenizers` wheel, SentencePiece-style merges by score here.

A tokenizer here is anything with encode(text) -> list of ids; a leading BOS is added where the model wants one.
"""

import heapq
import re

# Splits before merging, by the name that GGUF gives them; facts of the models' published tokenizers.
QWEN2 = (r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+")
LLAMA3 = QWEN2.replace(r"|\p{N}|", r"|\p{N}{1,3}|")
SPLITS = {"qwen2": QWEN2, "llama-bpe": LLAMA3}
ONE_DIGIT = ("smollm",)
USER_DEFINED = 4  # GGUF's token type


class ByteLevel:
    """Byte-level BPE. merges: "left right" lines in order of rank."""

    def __init__(self, vocabulary, merges, split):
        from tokenizers import Regex, Tokenizer, models, pre_tokenizers
        self.tokenizer = Tokenizer(models.BPE(vocab=vocabulary, merges=[tuple(line.split(" ")) for line in merges]))
        if split in SPLITS:
            steps = [pre_tokenizers.Split(Regex(SPLITS[split]), "isolated"), pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)]
        else:
            steps = [pre_tokenizers.Digits(individual_digits=True)] if split in ONE_DIGIT else []
            steps.append(pre_tokenizers.ByteLevel(add_prefix_space=False))
        self.tokenizer.pre_tokenizer = pre_tokenizers.Sequence(steps)

    def encode(self, text):
        return self.tokenizer.encode(text).ids


class ByScore:
    """SentencePiece BPE: merges the neighbouring pieces whose union scores best, leftmost first; unknown characters become bytes."""

    def __init__(self, pieces, scores, bos, whole=()):
        """whole: pieces that are never merged from others but found in the text first, the longest where several fit."""
        self.identities = {piece: index for index, piece in reversed(list(enumerate(pieces)))}
        self.scores, self.bos = scores, bos
        self.whole = re.compile("(" + "|".join(map(re.escape, sorted(whole, key=len, reverse=True))) + ")") if whole else None

    def encode(self, text):
        if self.whole is None:
            return self.bos + self.merge(text)
        spans = self.whole.split(text)  # odd ones are whole pieces
        return self.bos + [identity for number, span in enumerate(spans)
                           for identity in ([self.identities[span]] if number % 2 else self.merge(span))]

    def merge(self, text):
        pieces = list(text.replace(" ", "\u2581"))
        after = list(range(1, len(pieces) + 1))
        before = list(range(-1, len(pieces) - 1))
        heap = []

        def offer(left):
            right = after[left] if left >= 0 else len(pieces)
            if right < len(pieces):
                identity = self.identities.get(pieces[left] + pieces[right])
                if identity is not None:
                    heapq.heappush(heap, (-self.scores[identity], left, pieces[left], pieces[right], right))

        for index in range(len(pieces)):
            offer(index)
        while heap:
            _, left, left_piece, right_piece, right = heapq.heappop(heap)
            if pieces[left] != left_piece or right >= len(pieces) or after[left] != right or pieces[right] != right_piece:
                continue
            pieces[left], pieces[right], after[left] = left_piece + right_piece, None, after[right]
            if after[right] < len(pieces):
                before[after[right]] = left
            offer(before[left])
            offer(left)
        return [identity for piece in pieces if piece is not None for identity in self.identify(piece)]

    def identify(self, piece):
        if piece in self.identities:
            return [self.identities[piece]]
        return [self.identities[f"<0x{byte:02X}>"] for byte in piece.encode("utf8")]


class FromFile:
    """A tokenizer.json."""

    def __init__(self, path):
        from tokenizers import Tokenizer
        self.tokenizer = Tokenizer.from_file(str(path))

    def encode(self, text):
        return self.tokenizer.encode(text).ids


def gguf_tokenizer(fields):
    """The tokenizer that a GGUF file describes. Errors: ValueError for a kind that is not known."""
    kind = fields.text("tokenizer.ggml.model")
    pieces = fields.strings("tokenizer.ggml.tokens")
    if kind == "gpt2":
        split = fields.text("tokenizer.ggml.pre")
        return ByteLevel({piece: index for index, piece in enumerate(pieces)}, fields.strings("tokenizer.ggml.merges"), split)
    if kind == "llama":
        wants_bos = fields.fields.get("tokenizer.ggml.add_bos_token")
        bos = fields.numbers("tokenizer.ggml.bos_token_id") if wants_bos is None or wants_bos.parts[-1][0] else []
        kinds = fields.numbers("tokenizer.ggml.token_type")
        whole = [piece for piece, kind in zip(pieces, kinds) if kind == USER_DEFINED]
        return ByScore(pieces, fields.numbers("tokenizer.ggml.scores"), bos, whole)
    raise ValueError(f"tokenizer {kind} is not supported")
