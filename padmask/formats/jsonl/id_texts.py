"""Find the ids in JSON lists, and parse them, without creating a Python object for each id."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import msgspec
import numpy as np
import numpy.typing as npt
import pyarrow as pa

from padmask.core.arrow_lists import list_rows, to_arrow
from padmask.core.plan import Positions, Segments

_BLANKS = b" \t\r\n"

_MINUS, _COMMA, _OPEN, _CLOSE, _ZERO = b"-,[]0"

Letters = npt.NDArray[np.uint8]

# Number of digits that are parsed together: one for each byte of a 64-bit word.
_WORD = 8

# The text starts with these zeros, so that a complete word precedes each offset of an id.
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
        # Between two rows, and within empty lists, there is no id.
        filled = letters > 0
        negative = None
        if self.has_signs:
            negative = np.frombuffer(self.text, dtype=np.uint8)[ends - letters] == _MINUS
            letters -= negative
        if letters.max(initial=0) > _WORD:
            return None
        words = np.ndarray((len(self.text) - _WORD + 1,), "<u8", self.text, strides=(1,))[ends - _WORD]
        # The first letter is the lowest byte of a word. Letters before the id become zeros.
        before = ((_WORD - letters) << 3).view(np.uint64)
        words &= np.uint64(0x0F0F0F0F0F0F0F0F)
        words >>= before
        words <<= before
        higher = np.empty_like(words)
        for digits, mask in ((1, 0x00FF00FF00FF00FF), (2, 0x0000FFFF0000FFFF), (4, 0x00000000FFFFFFFF)):
            np.multiply(words, np.uint64(10**digits), out=higher)
            words >>= np.uint64(8 * digits)
            words += higher
            words &= np.uint64(mask)
        numbers = words.view(np.int64)
        if negative is not None:
            np.negative(numbers, out=numbers, where=negative)
        return numbers[filled]

    def lists(self) -> pa.Array | None:
        """Parse the ids to an Arrow list column. Return None if an id has more than eight digits."""
        numbers = self.numbers()
        return None if numbers is None else list_rows(to_arrow(numbers), self.lengths)

    def select(self, rows: slice) -> IdTexts:
        """Return the selected rows. They share `text` with this object."""
        return replace(self, opens=self.opens[rows], lengths=self.lengths[rows])

    def join(self, segments: Segments) -> Iterable[bytes]:
        """Return the text of each sequence of the segments: its ids, with commas between them.

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
        """For each i, return a JSON list of `counts[i]` ids of row `rows[i]`, from index `starts[i]` onward.

        >>> ids = read_ids([msgspec.Raw(b"[7,8]"), msgspec.Raw(b"[9]")], "int32")
        >>> [bytes(text) for text in ids.cut(np.array([0, 1]), np.array([1, 0]), np.array([1, 1]))]
        [b'[8]', b'[9]']
        """
        begins, ends = self.between(self.opens[rows] + starts, counts)
        bounds = zip(begins.tolist(), ends.tolist(), strict=True)
        return [msgspec.Raw(b"[" + self.text[begin:end] + b"]") for begin, end in bounds]

    def between(self, begins: Positions, counts: Positions) -> tuple[Positions, Positions]:
        """Return the start and end offsets of runs of ids: `counts[i]` ids after each mark `begins[i]`."""
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
    if any(blank in text for blank in _BLANKS):
        text = text.translate(None, _BLANKS)
    return _find(text, len(raws))


def find_checked_ids(text: bytes, rows: int) -> IdTexts | None:
    """Find the ids in lists that may be invalid JSON. Return None if a list is not a flat list of integers.

    The result is also None if the text has blanks other than a single space after a comma.

    >>> find_checked_ids(b"[7, 8][]", 2).numbers().tolist()
    [7, 8]
    >>> [find_checked_ids(text, 1) for text in (b"[7 8]", b"[7,,8]", b"[07]", b"[7-8]")]
    [None, None, None, None]

    Args:
        text: the lists, one after another.
        rows: number of lists.
    """
    if any(blank in text for blank in _BLANKS):
        letters = np.frombuffer(text, dtype=np.uint8)
        is_blank, is_comma = letters == _BLANKS[0], letters == _COMMA
        if is_blank[0] or (is_blank[1:] > is_comma[:-1]).any():
            return None
        text = letters[~is_blank].tobytes()
    return _find(text, rows)


def _find(text: bytes, rows: int) -> IdTexts | None:
    """Find the ids in a text of lists that follow each other without commas or blanks.

    Return None if the text does not consist of `rows` flat lists of JSON integers.
    """
    text = _BEFORE + text
    letters = np.frombuffer(text, dtype=np.uint8)
    # Bytes are unsigned, so every byte that is not a digit becomes larger than 9.
    marks = np.flatnonzero(letters - ord("0") > 9)
    if not rows:
        return IdTexts(text, marks, marks, marks, has_signs=False) if len(text) == _WORD else None
    kinds = letters[marks]
    if not len(marks) or marks[0] != _WORD or marks[-1] != len(text) - 1:
        return None
    if kinds[0] != _OPEN or kinds[-1] != _CLOSE or not _are_flat_lists(letters, marks, kinds):
        return None
    is_minus = kinds == _MINUS
    if is_minus.any():
        marks, kinds = marks[~is_minus], kinds[~is_minus]
    opens, closes = np.flatnonzero(kinds == _OPEN), np.flatnonzero(kinds == _CLOSE)
    if len(opens) != rows:
        return None
    empty = marks[closes] == marks[opens] + 1
    lengths = np.where(empty, 0, closes - opens)
    return IdTexts(text, marks, opens, lengths, has_signs=bool(is_minus.any()))


def _are_flat_lists(letters: Letters, marks: Positions, kinds: Letters) -> bool:
    """Return whether a text consists of flat lists of JSON integers.

    The letters at two adjacent marks determine whether the text between them must be digits or empty.

    Args:
        letters: the text.
        marks: offsets of all letters that are not digits.
        kinds: the letters at `marks`.
    """
    before, after, widths = kinds[:-1], kinds[1:], np.diff(marks)
    starts_list = before == _OPEN
    starts_item = starts_list | (before == _COMMA)
    digits = (starts_item | (before == _MINUS)) & ((after == _COMMA) | (after == _CLOSE))
    # An empty list, the bracket after a list, and a sign.
    nothing = (starts_list & (after == _CLOSE)) | ((before == _CLOSE) & (after == _OPEN))
    nothing |= starts_item & (after == _MINUS)
    if not np.where(widths > 1, digits, nothing).all():
        return False
    several = widths > 2
    return not (several & (letters[marks[:-1] + 1] == _ZERO)).any()


def read_ids(raws: Sequence[msgspec.Raw | None], dtype: str) -> IdTexts | None:
    """Find the ids in JSON lists. Return None if the output cannot contain the text of each id unchanged.

    The result is also None if a value is not a flat list of integers, or if an id might not fit `dtype`.

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
