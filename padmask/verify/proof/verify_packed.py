"""Check whether a sequence has the same outputs in a packed row and alone.

In the control run, the inputs describe each row as one sequence, without boundaries. This run should fail the
checks.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from padmask.verify.proof.deviations import Outputs, Pair, add_deviation, measure
from padmask.verify.proof.packed_sample import PackedBatch, PackedRow, PackedSample
from padmask.verify.proof.subject import CannotRunError
from padmask.verify.proof.tolerance import LIMITS, RESOLUTION, Array, Check, Deviations, compare_deviation
from padmask.verify.proof.verify_subject import report_outputs
from padmask.verify.report import Control, SubjectReport, SubjectVerdict

# Maximum number of sequences that run alone.
MOST_ALONE = 48

# Advice for each fault.
RESTART_POSITIONS = (
    "The positions do not restart. Pass position_ids that start at 0 in each sequence (padmask pack --emit "
    "position_ids) to each embedding or rotation that uses positions."
)
RESET_LAYERS = (
    "The recurrent layers {layers} carry their state into the next sequence. Reset the state at the start of "
    "each sequence, with cu_seqlens or segment_ids."
)
RESET_STATE = (
    "A recurrent layer must reset its state at the start of each sequence, with cu_seqlens or segment_ids. "
    "Causal attention needs a block mask (padmask.block_mask). A causal convolution must not read the "
    "previous sequence. Hugging Face models need position_ids and no attention_mask."
)
SEPARATE = (
    "Attention, a convolution, pooling or normalization mixes the sequences of a row. Give attention a block "
    "mask (padmask.block_mask), and apply convolutions, pooling and normalization to each sequence."
)
MASK_PADDING = "The model uses padding. Give it a mask, or segment_ids that mark padding."

# A function that returns whether to replace the tokens of a sequence, given its row and its number.
_Changes = Callable[[PackedRow, int], bool]


@dataclass(frozen=True)
class PackedSubject:
    """A model that runs on packed rows.

    Args:
        name: name of the model in the report.
        predict: function that returns the outputs for a batch: shape (rows, maxlen, ...).
        dtype: compute dtype of the model.
        batch_size: maximum number of rows in a batch.
        recurrent: names of layers that carry a state from one position to the next.
    """

    name: str
    predict: Callable[[PackedBatch], Outputs]
    dtype: str = "float32"
    batch_size: int = 32
    recurrent: Sequence[str] = ()

    def run(self, sample: PackedSample, *, random_padding: bool = False) -> list[dict[str, Array]]:
        """Return the outputs of each row, keyed by output name."""
        found: list[dict[str, Array]] = []
        for batch in sample.batches(self.batch_size, random_padding=random_padding):
            outputs = self.predict(batch)
            found += [
                {name: output[row] for name, output in outputs.items()} for row in range(len(batch.mask))
            ]
        return found


@dataclass(frozen=True)
class _Place:
    """A sequence of a packed row.

    Args:
        row: index of the row in the sample.
        number: number of the sequence in the row, from 0.
        first: position of its first token.
        length: number of its tokens.
    """

    row: int
    number: int
    first: int
    length: int

    def crop(self, outputs: Array, axes: Sequence[int]) -> Array:
        """Return the outputs of the sequence. `axes` are the axes of positions."""
        own = slice(self.first, self.first + self.length)
        return outputs[tuple(own if axis in axes else slice(None) for axis in range(outputs.ndim))]

    def __str__(self) -> str:
        return f"sequence {self.number + 1} of a packed row, {self.length} token{'s' * (self.length != 1)}"


@dataclass(frozen=True)
class _Checks:
    """The checks of a model, on rows with or without boundaries.

    Args:
        subject: model to check.
        sample: packed rows.
        base: outputs of each row.
        alone: outputs of some sequences alone, keyed by sequence.
        axes: axes of positions, keyed by output name. Only for the outputs that the checks compare.
    """

    subject: PackedSubject
    sample: PackedSample
    base: Sequence[Outputs]
    alone: Mapping[_Place, Outputs]
    axes: Mapping[str, tuple[int, ...]]

    def _measure(self, pairs: Iterable[tuple[_Place, Outputs, Outputs]]) -> Deviations:
        """Return the deviation of each output in pairs of runs of the same sequences."""
        known = list(pairs)
        return {
            name: measure(
                [Pair(place.crop(one[name], axes), two[name], str(place)) for place, one, two in known],
                has_steps=True,
                has_channels=known[0][1][name].ndim - 1 not in axes,
            )
            for name, axes in self.axes.items()
            if known
        }

    def _compare_runs(self, found: Sequence[Outputs], places: Iterable[_Place]) -> Deviations:
        return self._measure(
            (
                place,
                self.base[place.row],
                {name: place.crop(found[place.row][name], axes) for name, axes in self.axes.items()},
            )
            for place in places
        )

    def sequence_alone(self, *, first_only: bool = False) -> Deviations:
        """Compare sequences in their packed rows with the same sequences alone.

        If `first_only` is True, only the first sequences of rows are compared.
        """
        return self._measure(
            (place, self.base[place.row], outputs)
            for place, outputs in self.alone.items()
            if place.number == 0 or not first_only
        )

    def change(self, changes: _Changes, seed: int = 3) -> Deviations:
        """Replace the tokens of some sequences, and compare the outputs of the other sequences."""
        found = self.subject.run(self.sample.with_random_tokens(seed, changes))
        rows = self.sample.rows
        kept = [place for place in _places(self.sample) if not changes(rows[place.row], place.number)]
        return self._compare_runs(found, [place for place in kept if len(rows[place.row].sequences) > 1])

    def other_sequences(self) -> Deviations:
        """Replace the tokens of the even sequences and compare the odd sequences, and the other way round."""
        return _worst(self.change(_is_even), self.change(_is_odd))

    def other_content(self) -> Deviations:
        """Replace the pad value with random tokens, and compare the outputs."""
        return self._compare_runs(self.subject.run(self.sample, random_padding=True), _places(self.sample))

    def repeat(self) -> Deviations:
        """Run the rows a second time, after other rows of the same lengths, and compare the outputs."""
        self.subject.run(self.sample.with_random_tokens(8, _is_any))
        return self._compare_runs(self.subject.run(self.sample), _places(self.sample))

    def movement(self) -> Deviations:
        """Replace the tokens of all sequences, and measure the change of the outputs."""
        found = self.subject.run(self.sample.with_random_tokens(11, _is_any))
        return self._compare_runs(found, _places(self.sample))

    def judge(self, name: str, found: Deviations) -> Check:
        return Check.of(name, compare_deviation(found, {}, self.subject.dtype, None)[0])

    def holds(self, found: Deviations) -> bool:
        return self.judge("", found).verdict != "fails"


def verify_packed(subject: PackedSubject, sample: PackedSample) -> SubjectReport:
    """Check whether sequences in packed rows change each other's outputs.

    Args:
        subject: model to check.
        sample: packed rows. Only rows with several sequences can show a leak between sequences.

    Raises:
        CannotRunError: the model cannot run on the rows.
    """
    checks, left_out = _prepare(subject, sample)
    remark = f"the checks do not compare the outputs {', '.join(left_out)}" if left_out else ""
    if not checks.axes:
        detail = "no output has a value for each token, so the outputs of a sequence are not known"
        return SubjectReport(subject.name, "inconclusive", (), detail=_join(detail, remark))
    found = [
        checks.judge("sequence-alone", checks.sequence_alone()),
        checks.judge("other-sequences", checks.other_sequences()),
        checks.judge("other-content", checks.other_content())
        if any(row.has_padding for row in sample.rows)
        else Check.skipped("other-content", "the rows have no padding"),
    ]
    control = _run_control(checks)
    silent = _silent_outputs(checks)
    verdict, detail = _decide(checks, found, silent, passes=control.verdict == "holds")
    advice = None
    if verdict == "leaks":
        detail, advice = _name_fault(checks, found)
    outputs = report_outputs(found, set(silent))
    return SubjectReport(subject.name, verdict, found, control, outputs, _join(detail, remark), advice=advice)


def _prepare(subject: PackedSubject, sample: PackedSample) -> tuple[_Checks, list[str]]:
    """Run the rows, and some of their sequences alone.

    Returns:
        The checks, and the names of the outputs that the checks do not compare.
    """
    base = subject.run(sample)
    alone, widths = {}, {}
    for place in _pick(_places(sample)):
        row = sample.rows[place.row]
        sequence = row.sequences[place.number]
        try:
            [outputs] = subject.run(sample.with_rows([PackedRow.alone(sequence)]))
            widths[place] = place.length
        except CannotRunError:
            # The model may accept only one row length.
            [outputs] = subject.run(sample.with_rows([PackedRow.alone(sequence, row.width)]))
            widths[place] = row.width
        alone[place] = outputs
    runs = [*base, *alone.values()]
    sizes = [row.width for row in sample.rows] + list(widths.values())
    found = {name: _find_axes([np.shape(outputs[name]) for outputs in runs], sizes) for name in base[0]}
    axes = {name: known for name, known in found.items() if known is not None}
    cropped = {
        place: {name: replace(place, first=0).crop(outputs[name], known) for name, known in axes.items()}
        for place, outputs in alone.items()
    }
    return _Checks(subject, sample, base, cropped, axes), [name for name in base[0] if name not in axes]


def _find_axes(shapes: Sequence[tuple[int, ...]], widths: Sequence[int]) -> tuple[int, ...] | None:
    """Return the axes of an output that have one entry for each position.

    Most outputs have one such axis, the first axis. Attention weights have two, for queries and keys.

    Args:
        shapes: shape of the output in each run, without the axis of the rows.
        widths: number of positions in each run.

    Returns:
        The axes. None if the first axis does not have one entry for each position, or if the size of another
        axis differs between the runs, but is not the number of positions.

    >>> _find_axes([(5, 8), (3, 8)], [5, 3]), _find_axes([(5, 5), (3, 3)], [5, 3])
    ((0,), (0, 1))
    >>> _find_axes([(8,), (8,)], [5, 3]) is None
    True
    """
    if len({len(shape) for shape in shapes}) != 1 or any(not shape for shape in shapes):
        return None
    sizes = list(zip(*shapes, strict=True))
    axes = [0] + [axis for axis in range(1, len(sizes)) if len(set(sizes[axis])) > 1]
    return tuple(axes) if all(sizes[axis] == tuple(widths) for axis in axes) else None


def _run_control(checks: _Checks) -> Control:
    """Run the checks on rows without boundaries."""
    joined = checks.sample.joined()
    try:
        without = replace(checks, sample=joined, base=checks.subject.run(joined))
        found = [
            without.judge("sequence-alone", without.sequence_alone()),
            without.judge("other-sequences", without.other_sequences()),
        ]
    except CannotRunError as error:
        # For example, positions that do not restart may exceed a table of positions.
        reason = f"the model cannot run on rows without sequence boundaries: {error}"
        return Control("fails", [Check.skipped("sequence-alone", reason)])
    return Control("holds" if all(check.verdict == "holds" for check in found) else "fails", found)


def _places(sample: PackedSample) -> list[_Place]:
    return [
        _Place(index, number, first, len(sequence))
        for index, row in enumerate(sample.rows)
        for number, (first, sequence) in enumerate(zip(row.firsts, row.sequences, strict=True))
    ]


def _pick(places: Sequence[_Place]) -> list[_Place]:
    """Return at most `MOST_ALONE` sequences, evenly spaced."""
    chosen = np.linspace(0, len(places) - 1, min(len(places), MOST_ALONE)).astype(int)
    return [places[index] for index in chosen]


def _is_even(_: PackedRow, number: int) -> bool:
    return number % 2 == 0


def _is_odd(_: PackedRow, number: int) -> bool:
    return number % 2 == 1


def _is_any(_: PackedRow, number: int) -> bool:
    return True


def _is_first(_: PackedRow, number: int) -> bool:
    return number == 0


def _is_last(row: PackedRow, number: int) -> bool:
    return number == len(row.sequences) - 1


def _worst(one: Deviations, two: Deviations) -> Deviations:
    """Return, for each channel of each output, the larger of two deviations."""
    found = dict(one)
    for name, deviation in two.items():
        add_deviation(found, name, deviation)
    return found


def _silent_outputs(checks: _Checks) -> list[str]:
    """Return the outputs that cannot show a leak.

    If the tokens of all sequences change, these outputs stay the same, or have a channel that changes by less
    than the tolerance.
    """
    dtype = checks.subject.dtype
    silent = []
    for name, movement in checks.movement().items():
        shares = movement.shares
        moves = shares > RESOLUTION[dtype]
        if not moves.any() or (moves & (shares <= LIMITS[dtype])).any():
            silent.append(name)
    return silent


def _decide(
    checks: _Checks, found: Sequence[Check], silent: Sequence[str], *, passes: bool
) -> tuple[SubjectVerdict, str]:
    if not checks.holds(checks.repeat()):
        return "inconclusive", "the model is not deterministic: two runs of a batch had different outputs"
    if any(check.verdict == "fails" for check in found):
        return "leaks", ""
    if all(len(row.sequences) < 2 for row in checks.sample.rows):
        return "inconclusive", "no row has several sequences"
    if silent:
        return (
            "inconclusive",
            f"different tokens change {', '.join(silent)} by less than the tolerance, so a leak would be too "
            "small to detect",
        )
    if passes:
        return (
            "ignores",
            "the model needs no sequence boundaries, or finds them in the tokens: even without boundaries, "
            "the sequences of a row do not change each other's outputs",
        )
    return "ignores", ""


def _name_fault(checks: _Checks, found: Sequence[Check]) -> tuple[str, str | None]:
    """Return a text about how the outputs change, and advice on how to fix the model."""
    failed = {check.name for check in found if check.verdict == "fails"}
    if "other-sequences" in failed:
        forward = not checks.holds(checks.change(_is_first))
        backward = not checks.holds(checks.change(_is_last))
        if forward and not backward:
            layers = ", ".join(checks.subject.recurrent)
            advice = RESET_LAYERS.format(layers=layers) if layers else RESET_STATE
            return "earlier sequences of a row change the outputs of later sequences", advice
        return "sequences of a row change each other's outputs", SEPARATE
    if "other-content" in failed:
        return "padding changes the outputs", MASK_PADDING
    if checks.holds(checks.sequence_alone(first_only=True)):
        return (
            "the outputs of a sequence depend on its position in the row, but not on the tokens of the other "
            "sequences",
            RESTART_POSITIONS,
        )
    return (
        "a sequence has different outputs if it runs alone instead of in its packed row, but changing the "
        "tokens of the other sequences has no effect",
        None,
    )


def _join(*parts: str) -> str:
    return "; ".join(part for part in parts if part)
