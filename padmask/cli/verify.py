"""The command `padmask verify`."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import click

from padmask.cli.allow import allow_option, allowed
from padmask.cli.commands import load_runner
from padmask.cli.config import (
    CHANGES_CHECKS,
    RUNS_CODE,
    WRITES,
    ConfiguredCommand,
    command_line_only,
    setting,
)
from padmask.cli.options import (
    PathOrAddress,
    audit_options,
    declared_side,
    file_options,
    is_typed,
    mask_options,
    quiet_options,
    spec_of,
)
from padmask.errors import PadmaskError, SpecError, did_you_mean
from padmask.spec.files import ReadOptions
from padmask.spec.pad import PadSpec, Side
from padmask.spec.verify import BACKENDS, DEVICES, INPUT_KINDS, ROUTES
from padmask.storage.output_places import descriptor_of

# Formats of reports that are files.
FILE_FORMS = ("json", "junit", "html")

# Default batch size for the user's model, which may be large.
USER_BATCH = 64


@dataclass(frozen=True, kw_only=True)
class VerifyArguments:
    """Options of `padmask verify`.

    Args:
        inputs: files, folders, glob patterns or URLs. If empty, the user's model runs on random rows.
        columns: columns to verify.
        spec: padding options for raw input.
        strict: whether warnings count as errors.
        allow: names of warnings that are not printed, and of rules whose violations are not errors.
        proof: options of the reference models or of the user's model. If None, only the data is checked.
        backend: Keras backend. If None, `KERAS_BACKEND` is used, else TensorFlow.
        device: `"auto"`, `"cpu"` or `"gpu"`.
        sample: number of rows on which the models run.
        mask_column: mask column of padded input. If None, the column is found from the metadata, else by its
            name.
        mask_polarity: which positions of the mask are True. If None, the metadata decides, else the name of
            the mask column.
        mask_kind: whether the mask is binary or additive. If None, the metadata decides, else binary.
        declared: padding side of padded input. None if the command line does not set the side.
        against: files from which the padded or packed rows were made, to compare the tokens. If empty, the
            tokens are not compared.
        files: options for reading files.
        reports: format and path of each report. `-` is standard output.
        as_json: whether to print the report as JSON.
        quiet: whether to print only the errors of the report, and no progress.
        verbose: whether to show each check and each reference model. If False and all reference models ignore
            padding, they are shown together on one line.
        progress: whether to show progress.
    """

    inputs: Sequence[str]
    columns: Sequence[str]
    spec: PadSpec
    strict: bool
    allow: Sequence[str]
    proof: ReferenceOptions | ModelOptions | None
    backend: str | None
    device: str
    sample: int
    mask_column: str | None
    mask_polarity: Any
    mask_kind: Any
    declared: Side | None
    against: Sequence[str]
    files: ReadOptions
    reports: Sequence[tuple[str, str]]
    as_json: bool
    quiet: bool
    verbose: bool
    progress: bool


@dataclass(frozen=True, kw_only=True)
class ReferenceOptions:
    """Options of the reference models.

    Args:
        spec: arguments for `ReferenceSpec`.
    """

    spec: dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class ModelOptions:
    """Options of the user's model.

    Args:
        spec: arguments for `ModelSpec`.
        model: path of a saved model, or `module:factory`, as in `ModelProof`.
        predict: function that takes ids and a mask, as `module:function`.
        inputs: name of the column for each model input, keyed by input name.
        kinds: kind of each model input, keyed by input name.
        custom_objects: path of a Python file that defines the model's custom classes.
        allow_unsafe: whether code in the model file may run.
    """

    spec: dict[str, Any]
    model: str | None
    predict: str | None
    inputs: dict[str, str]
    kinds: dict[str, str]
    custom_objects: str | None
    allow_unsafe: bool


@dataclass(frozen=True, kw_only=True)
class FailedStart:
    """A run that failed while its options were read.

    Args:
        reports: format and path of each report; `-` is standard output.
        inputs: command-line arguments that may be input files. A report must not replace an input.
        error: the error.
    """

    reports: Sequence[tuple[str, str]]
    inputs: Sequence[str]
    error: Exception


class VerifyCommand(ConfiguredCommand):
    """The command `padmask verify`, which also writes reports if its options are invalid."""

    def make_context(
        self, info_name: str | None, args: list[str], parent: click.Context | None = None, **extra: Any
    ) -> click.Context:
        given = list(args)
        try:
            return super().make_context(info_name, args, parent, **extra)
        except (PadmaskError, click.UsageError) as error:
            if extra.get("resilient_parsing"):
                raise
            reports = [text for option, text in pairwise(given) if option == "--report"]
            reports += [text.removeprefix("--report=") for text in given if text.startswith("--report=")]
            inputs = [text for option, text in pairwise(["", *given]) if option != "--report"]
            _report_failed_start(reports, "--json" in given, inputs, error)
            raise


def _report_failed_start(
    texts: Sequence[str], as_json: bool, inputs: Sequence[str], error: Exception
) -> None:
    """Write the reports of a run whose options are not valid."""
    reports = [("json", "-")] * as_json
    for text in texts:
        with suppress(SpecError):
            reports.append(_form(text))
    if reports:
        load_runner("verify_error")(FailedStart(reports=reports, inputs=inputs, error=error))


@click.command("verify", cls=VerifyCommand)
@audit_options(
    "Check raw rows as if they were padded to this length: a number, longest, or a percentile such as "
    "p95.  [default: longest]"
)
@mask_options
@command_line_only(
    "--model",
    because=RUNS_CODE,
    type=PathOrAddress(),
    default=None,
    metavar="FILE|MODULE:FACTORY",
    help="Verify your own model: a saved Keras model, a PyTorch program (.pt2), or a function without "
    "arguments that returns a Keras model or a PyTorch module. Without INPUT, the rows are random.",
)
@command_line_only(
    "--predict",
    because=RUNS_CODE,
    default=None,
    metavar="MODULE:FUNCTION",
    help="Verify a function of two NumPy arrays, ids and mask, that returns an array or a dict of arrays. "
    "For packed rows, the function can also have parameters such as segment_ids, position_ids and "
    "cu_seqlens, which receive the arrays of these names. "
    "MODULE may be in the current folder. Importing MODULE runs its code.",
)
@setting(
    "--input",
    "model_inputs",
    multiple=True,
    metavar="NAME[:KIND][=COLUMN]",
    help="Column and kind of the model input NAME; repeatable. KIND is tokens, features, mask, lengths, "
    "positions, segments or static. Masks, lengths and positions come from the padding and need no column. "
    "NAME=mask and NAME:mask mean the same.  [default: the column with the same name]",
)
@command_line_only(
    "--custom-objects",
    because=RUNS_CODE,
    type=PathOrAddress(),
    default=None,
    metavar="FILE.py",
    help="Python file that defines the model's custom classes. padmask runs the file.",
)
@command_line_only(
    "--allow-unsafe-model",
    because=RUNS_CODE,
    is_flag=True,
    help="Run Python code in the model file, such as Lambda layers. Use only for models that you trust.",
)
@setting(
    "--explain",
    is_flag=True,
    help="For each layer, show whether it has a mask and how much padding changes its output.",
)
@command_line_only(
    "--no-model/--models",
    because=CHANGES_CHECKS,
    default=False,
    help="Check only the data, without TensorFlow.",
)
@setting("--strict/--no-strict", default=False, help="Treat warnings from rules as errors.")
@allow_option(rules=True, errors=True)
@command_line_only(
    "--route",
    "routes",
    because=CHANGES_CHECKS,
    multiple=True,
    type=click.Choice(list(ROUTES)),
    help="Reference model to verify; repeatable. The name says how the LSTM of the model receives the mask.  "
    "[default: all]",
)
@setting(
    "--device",
    type=click.Choice(DEVICES),
    default="auto",
    show_default=True,
    help="Device to run the models on. With gpu, the command fails if no GPU is available.",
)
@setting(
    "--backend",
    type=click.Choice(BACKENDS),
    default=None,
    help="Keras backend.  [default: KERAS_BACKEND, else tensorflow]",
)
@setting(
    "--seed",
    type=click.IntRange(min=0),
    default=0,
    show_default=True,
    help="Random seed for the weights of the reference models, for generated rows, and for the choice of "
    "rows.",
)
@command_line_only(
    "--sample",
    because=CHANGES_CHECKS,
    type=click.IntRange(min=1),
    default=256,
    show_default=True,
    metavar="N",
    help="Number of rows to run: some of the shortest, some of the longest, and random rows.",
)
@setting(
    "--batch-size",
    type=click.IntRange(min=1),
    default=None,
    metavar="N",
    help="Number of rows in a batch.  [default: 512; 64 with --model or --predict]",
)
@setting(
    "--vocab-size",
    type=click.IntRange(min=1),
    default=None,
    metavar="N",
    help="Size of the vocabulary, including id 0.  [default: found from the data]",
)
@setting(
    "--embedding-dim",
    type=click.IntRange(min=1),
    default=16,
    show_default=True,
    help="Embedding size of the reference models.",
)
@setting(
    "--units",
    type=click.IntRange(min=1),
    default=32,
    show_default=True,
    help="Number of LSTM units in the reference models.",
)
@command_line_only(
    "--against",
    because=CHANGES_CHECKS,
    type=PathOrAddress(),
    multiple=True,
    metavar="INPUT",
    help="Compare padded or packed rows, token by token, with INPUT, the file that was padded or packed; "
    "repeatable.",
)
@command_line_only(
    "--report",
    "reports",
    type=PathOrAddress(*FILE_FORMS),
    because=WRITES,
    multiple=True,
    metavar="[json:|junit:|html:]FILE|github",
    help="Also write a JSON, JUnit XML or HTML report, or print annotations for GitHub Actions; repeatable. "
    "For your own model, the HTML report also contains the output of --explain.",
)
@setting("--json", "as_json", is_flag=True, help="Print the report as one JSON object.")
@setting(
    "-v",
    "--verbose/--no-verbose",
    default=False,
    help="Show each check of each model, and the reference models even if all of them ignore padding.",
)
@quiet_options
@click.pass_context
def command(ctx: click.Context, /, **given: Any) -> int:
    """Verify that a model ignores padding. If the model does not, find the layer to fix.

    Checks the data, raw or padded, against a set of rules. Then runs Embedding and LSTM models (the
    reference models), or your own model, on the data and checks whether padding changes the outputs. Exit
    code 0: padding has no effect; 1: padding changes the outputs, the data violates a rule, or the checks are
    inconclusive; 2: the run failed.

    \b
    Examples:
      padmask verify sample_data/jargon.jsonl --maxlen 64
      padmask verify padded.parquet --report junit:verify.xml --report json:verify.json
      padmask verify train.jsonl --no-model
      padmask verify tokens.jsonl --model model.keras
      padmask verify --model model.keras --vocab-size 32000 --explain
      padmask verify --model mypackage.model:build --padding left
      padmask verify tokens.jsonl --predict mypackage.serve:predict
    """
    try:
        arguments = _read_arguments(ctx, given)
    except (PadmaskError, click.UsageError) as error:
        _report_failed_start(given["reports"], given["as_json"], given["inputs"], error)
        raise
    code: int = load_runner("verify")(arguments)
    return code


def _read_arguments(ctx: click.Context, given: dict[str, Any]) -> VerifyArguments:
    has_model = given["model"] is not None or given["predict"] is not None
    _check_usage(ctx, given, has_model=has_model)
    reports = [_form(text) for text in given["reports"]]
    has_page = any(form == "html" for form, _ in reports)
    to_stdout = [form for form, path in reports if path == "-"]
    if len(to_stdout) + given["as_json"] > 1:
        raise SpecError("Two reports cannot both go to stdout. Write one of them to a file.")
    return VerifyArguments(
        inputs=given["inputs"],
        columns=given["columns"],
        spec=spec_of(given, given["maxlen"]),
        strict=given["strict"],
        allow=allowed(ctx, given),
        proof=_model_options(given, has_page=has_page) if has_model else _reference_options(given),
        backend=given["backend"],
        device=given["device"],
        sample=given["sample"],
        mask_column=given["mask_column"],
        mask_polarity=given["mask_polarity"],
        mask_kind=given["mask_kind"],
        declared=declared_side(ctx, given),
        against=given["against"],
        files=file_options(given, ReadOptions),
        reports=reports,
        as_json=given["as_json"],
        # If a report goes to stdout, print nothing else there.
        quiet=given["quiet"] or any(form != "github" for form in to_stdout),
        verbose=given["verbose"],
        progress=given["progress"],
    )


def _check_usage(ctx: click.Context, given: dict[str, Any], *, has_model: bool) -> None:
    if not given["inputs"] and not has_model:
        raise click.UsageError(
            "There is nothing to verify. Specify an input file, - for stdin, or a model (--model or "
            "--predict)."
        )
    if given["against"] and not given["inputs"]:
        raise click.UsageError(
            "--against compares padded or packed rows with their input. Specify the padded or packed file."
        )
    if given["model"] is not None and given["predict"] is not None:
        raise click.UsageError("--model and --predict cannot be used together. Remove one of them.")
    if is_typed(ctx, "verbose") and given["verbose"] and given["quiet"]:
        raise click.UsageError("--verbose and --quiet cannot be used together. Remove one of them.")
    if has_model and given["no_model"]:
        raise click.UsageError("--no-model cannot be used with --model or --predict. Remove one of them.")
    if has_model and given["routes"]:
        raise click.UsageError(
            "--route selects reference models, so it does not work with --model or --predict. Remove --route."
        )
    if given["model_inputs"] and not has_model:
        message = "--input requires --model or --predict. Add one of them, or remove --input."
        raise click.BadOptionUsage("model_inputs", message, ctx)
    for name in ("custom_objects", "allow_unsafe_model", "explain"):
        if given[name] and given["model"] is None:
            option = "--" + name.replace("_", "-")
            message = f"{option} requires --model. Add --model, or remove {option}."
            raise click.BadOptionUsage(name, message, ctx)


def _reference_options(given: dict[str, Any]) -> ReferenceOptions | None:
    names = ("embedding_dim", "units", "vocab_size", "seed", "batch_size")
    asked = {name: given[name] for name in names if given[name] is not None}
    routes = tuple(dict.fromkeys(given["routes"])) or tuple(ROUTES)
    return None if given["no_model"] else ReferenceOptions(spec={"routes": routes, **asked})


def _model_options(given: dict[str, Any], *, has_page: bool) -> ModelOptions:
    spec = {
        "padding": given["padding"],
        "value": None if given["value"] is None else _number(given["value"]),
        "vocab_size": given["vocab_size"],
        "seed": given["seed"],
        "explain": given["explain"] or (given["model"] is not None and has_page),
        "batch_size": given["batch_size"] or USER_BATCH,
    }
    inputs = [_model_input(text) for text in given["model_inputs"]]
    return ModelOptions(
        spec=spec,
        model=given["model"],
        predict=given["predict"],
        inputs={name: column for name, _, column in inputs if column},
        kinds={name: kind for name, kind, _ in inputs if kind},
        custom_objects=given["custom_objects"],
        allow_unsafe=given["allow_unsafe_model"],
    )


def _number(text: str) -> int | float:
    for read in (int, float):
        with suppress(ValueError):
            return read(text)
    raise SpecError(
        f"--value must be a number with --model or --predict. Received: {text!r}.", options=["value"]
    )


def _model_input(text: str) -> tuple[str, str, str]:
    """Return the name, the kind and the column of a model input. The kind or the column may be empty."""
    declared, equals, column = text.partition("=")
    name, colon, kind = declared.rpartition(":")
    if not colon or kind not in INPUT_KINDS:
        # Names of inputs may contain colons, and may be the name of a kind.
        name, kind = declared, ""
    if not name or bool(equals) != bool(column) or not (kind or column):
        raise SpecError(
            "--input must be NAME=COLUMN, NAME:KIND or NAME:KIND=COLUMN, such as --input tokens=input_ids or "
            f"--input parts:segments=token_type_ids. KIND is one of {', '.join(INPUT_KINDS)}. "
            f"Received: {text!r}.",
            options=["model_inputs"],
        )
    return name, kind, column


def _form(text: str) -> tuple[str, str]:
    """Return the format and the path of a report. Without a format, the report is JSON."""
    if text == "github":
        return "github", "-"
    form, colon, path = text.partition(":")
    # A single letter may be a Windows drive.
    if colon and form.isalpha() and len(form) > 1 and form not in FILE_FORMS:
        raise SpecError(
            f"--report {text}: unknown format {form!r}.{did_you_mean(form, [*FILE_FORMS, 'github'])} "
            "Choose json:FILE, junit:FILE, html:FILE or github."
        )
    if text in FILE_FORMS or (not colon and text.endswith((".xml", ".html"))):
        raise SpecError(
            f"--report {text}: specify a format and a file, such as json:verify.json, junit:verify.xml or "
            "html:verify.html."
        )
    if form not in FILE_FORMS or not colon:
        form, path = "json", text
    if not path:
        raise SpecError(f"--report {text} has no file name. Add a file name, such as {form}:verify.{form}.")
    return form, "-" if descriptor_of(path) == 1 else path
