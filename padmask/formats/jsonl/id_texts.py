"""Find the ids in JSON lists, and parse them, without creating a Python object for each id."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import msgspec
import numpy as np
import numpy.typing as npt

from padmask.core.plan import Positions, Segments

_BLANKS = b" \t\r\n"

_MINUS, _COMMA, _OPEN, _CLOSE = b"-,[]"

# Number of digits that are parsed together: one for each byte of a 64-bit word.
_WORD = 8

# The text starts with this padding, so that there is a word before each offset.
_BEFORE = b"0" * _WORD


@dataclass(frozen=True)
class IdTexts:
    """The ids of a column as JSON text without spaces, with the offsets of the ids.

    Args:
        text: eight zeros, then the lists of all rows, such as `[7,8][9]`. `numbers` reads the
            eight bytes up to the end of each id. For the first ids, these bytes contain some of the zeros.
        marks: offsets of the brackets and commas in `text`, int64. The ids are between these offsets.
        opens: index in `marks` of the opening bracket of each row: int64, shape (rows,).
        lengths: number of ids in each row: int64, shape (rows,).
        has_signs: whether the text contains a minus sign.
    """

    text: bytes
    marks: Positions
    opens: Positions
    lengths: Positions
    has_signs: bool

    @property
    def most_letters(self) -> int:
        """The largest number of characters of an id, including the sign."""
        return int(np.diff(self.marks).max(initial=1)) - 1

    def numbers(self) -> npt.NDArray[np.int64] | None:
        """Parse the ids. Return None if an id has more than eight digits.

        Eight digits are parsed as one 64-bit word: the digits of the word are joined to numbers of two, four
        and eight digits. See Daniel Lemire, "Quickly parsing eight digits" (2018).
        """
        ends, letters = self.marks[1:], np.diff(self.marks)
        letters -= 1
        filled = letters > 0
        if not filled.all():
            ends, letters = ends[filled], letters[filled]
        if not len(ends):
            return np.zeros(0, dtype=np.int64)
        negative = None
        if self.has_signs:
            negative = np.frombuffer(self.text, dtype=np.uint8)[ends - letters] == _MINUS
            letters -= negative
        if letters.max() > _WORD:
            return None
        words = np.ndarray((len(self.text) - _WORD + 1,), "<u8", self.text, strides=(1,)).take(ends - _WORD)
        # The first letter is the lowest byte of a word. Letters before the id become zeros.
        before = ((_WORD - letters) << 3).view(np.uint64)
        words &= np.uint64(0x0F0F0F0F0F0F0F0F)
        words >>= before
        words <<= before
        for digits, mask in ((1, 0x00FF00FF00FF00FF), (2, 0x0000FFFF0000FFFF), (4, 0x00000000FFFFFFFF)):
            higher = words * np.uint64(10**digits)
            words >>= np.uint64(8 * digits)
            words += higher
            words &= np.uint64(mask)
        numbers = words.view(np.int64)
        if negative is not None:
            np.negative(numbers, out=numbers, where=negative)
        return numbers

    def select(self, rows: slice) -> IdTexts:
        """Return the selected rows. They share `text` with this object."""
        return replace(self, opens=self.opens[rows], lengths=self.lengths[rows])

    def join(self, segments: Segments) -> Iterable[bytes]:
        """Return the text of the ids that the segments select: one text per row, with commas between the ids.

        >>> ids = read_ids([msgspec.Raw(b"[7,8,9]")], "int32")
        >>> one, two = np.array([0, 2]), np.array([1, 1])
        >>> list(ids.join(Segments(ids.lengths, one, two, 2, sources=one * 0, sequences=one * 0)))
        [b'7,9']
        """
        opens = self.opens if segments.sources is None else self.opens[segments.sources]
        begins, ends = self.between(opens + segments.starts, segments.counts)
        slices = map(self.text.__getitem__, map(slice, begins.tolist(), ends.tolist()))
        if segments.sequences is None:
            return slices
        texts: dict[int, bytes] = {}
        for sequence, text in zip(segments.sequences.tolist(), slices, strict=True):
            texts[sequence] = texts[sequence] + b"," + text if sequence in texts else text
        return texts.values()

    def cut(self, rows: Positions, starts: Positions, counts: Positions) -> Sequence[msgspec.Raw]:
        """Return a JSON list of `counts[i]` ids of row `rows[i]`, from index `starts[i]`, for each i.

        >>> ids = read_ids([msgspec.Raw(b"[7,8]"), msgspec.Raw(b"[9]")], "int32")
        >>> [bytes(text) for text in ids.cut(np.array([0, 1]), np.array([1, 0]), np.array([1, 1]))]
        [b'[8]', b'[9]']
        """
        begins, ends = self.between(self.opens[rows] + starts, counts)
        bounds = zip(begins.tolist(), ends.tolist(), strict=True)
        return [msgspec.Raw(b"[" + self.text[begin:end] + b"]") for begin, end in bounds]

    def between(self, begins: Positions, counts: Positions) -> tuple[Positions, Positions]:
        """Return the start and end offsets of the `counts[i]` ids after mark `begins[i]`, for each i."""
        return self.marks[begins] + 1, self.marks[begins + counts]


def find_ids(raws: Sequence[msgspec.Raw | None]) -> IdTexts | None:
    """Find the offsets of the ids in JSON lists. Return None if a value is not a flat list of integers.

    >>> ids = find_ids([msgspec.Raw(b"[7, -8]"), msgspec.Raw(b"[]")])
    >>> ids.lengths.tolist(), ids.numbers().tolist()
    ([2, 0], [7, -8])

    Args:
        raws: valid JSON value of each row; None if the key is missing.
    """
    try:
        text = b"".join(raws)  # type: ignore[arg-type]
    except TypeError:
        return None
    if any(blank in text for blank in (b" ", b"\n", b"\t", b"\r")):
        text = text.translate(None, _BLANKS)
    text = _BEFORE + text
    letters = np.frombuffer(text, dtype=np.uint8)
    # Bytes are unsigned, so every byte that is not a digit becomes larger than 9.
    marks = np.flatnonzero(letters - ord("0") > 9)
    kinds = letters[marks]
    is_minus = kinds == _MINUS
    if is_minus.any():
        marks, kinds = marks[~is_minus], kinds[~is_minus]
    opens, closes = np.flatnonzero(kinds == _OPEN), np.flatnonzero(kinds == _CLOSE)
    known = len(opens) + len(closes) + np.count_nonzero(kinds == _COMMA)
    if known < len(marks) or not (
        len(opens) == len(closes) == len(raws) and _flat(text, marks, opens, closes)
    ):
        return None
    empty = marks[closes] == marks[opens] + 1
    lengths = np.where(empty, 0, closes - opens)
    return IdTexts(text, marks, opens, lengths, has_signs=bool(is_minus.any()))


def _flat(text: bytes, marks: Positions, opens: Positions, closes: Positions) -> bool:
    """Return whether every row is a flat list. The text must have as many pairs of brackets as rows."""
    if not len(opens):
        return len(text) == len(_BEFORE)
    starts, stops = marks[opens], marks[closes]
    ends = starts[0] == len(_BEFORE) and stops[-1] == len(text) - 1
    return bool(ends and np.array_equal(starts[1:], stops[:-1] + 1))


def read_ids(raws: Sequence[msgspec.Raw | None], dtype: str) -> IdTexts | None:
    """Find the ids in JSON lists if the text of all ids can be written unchanged; else return None.

    The result is also None if a value is not a flat list of integers, or if an id may not fit `dtype`.

    >>> ids = read_ids([msgspec.Raw(b"[7, 8]"), msgspec.Raw(b"[]")], "int32")
    >>> ids.lengths.tolist()
    [2, 0]

    Args:
        raws: JSON value of each row; None if the key is missing.
        dtype: one of `INTEGER_DTYPES`.
    """
    ids = find_ids(raws)
    # The text cannot be copied if it contains -0, because the output is 0.
    if ids is None or (ids.has_signs and (dtype == "uint16" or b"-0" in ids.text)):
        return None
    # A number with fewer digits than the largest value of the dtype fits.
    return ids if ids.most_letters < len(str(np.iinfo(dtype).max)) else None
