"""`padmask verify`."""

from __future__ import annotations

import sys
from contextlib import ExitStack, redirect_stdout, suppress
from typing import Any

import click

from padmask.cli.config import RUNS_CODE, WEAKENS_PROOF, WRITES, ConfiguredCommand, command_line_only, setting
from padmask.cli.options import (
    PathOrAddress,
    declared_side,
    input_options,
    mask_column_option,
    open_progress,
    quiet_options,
    spec_of,
)
from padmask.errors import SpecError, did_you_mean
from padmask.spec.verify import BACKENDS, DEVICES, ROUTES

# Rows that somebody's own model sees at once: it may be large.
USER_BATCH = 64


@click.command("verify", cls=ConfiguredCommand)
@input_options
@mask_column_option
@command_line_only(
    "--model",
    because=RUNS_CODE,
    type=PathOrAddress(),
    default=None,
    metavar="FILE.keras",
    help="Prove this saved Keras model instead of the reference models; without INPUT, on random rows.",
)
@command_line_only(
    "--predict",
    because=RUNS_CODE,
    default=None,
    metavar="MODULE:FUNCTION",
    help="Prove this function of (ids, mask), two NumPy arrays, which returns an array or a dict of them. "
    "Its module is imported, from the current folder too: that runs its code.",
)
@setting(
    "--input",
    "model_inputs",
    multiple=True,
    metavar="NAME=COLUMN",
    help="The column for an input of the model; repeatable.  [default: the one of its name]",
)
@command_line_only(
    "--custom-objects",
    because=RUNS_CODE,
    type=PathOrAddress(),
    default=None,
    metavar="FILE.py",
    help="Python file with the classes that the model needs; it is run.",
)
@command_line_only(
    "--allow-unsafe-model",
    because=RUNS_CODE,
    is_flag=True,
    help="Run Python code from within the model's file, such as a Lambda's: only if you trust it.",
)
@setting("--explain", is_flag=True, help="Tell of each layer whether it had a mask, and how far it strays.")
@command_line_only(
    "--no-model/--models",
    because=WEAKENS_PROOF,
    default=False,
    help="Check the data alone; needs no TensorFlow.",
)
@setting("--strict/--no-strict", default=False, help="Warnings are errors.")
@command_line_only(
    "--allow",
    because=WEAKENS_PROOF,
    multiple=True,
    metavar="RULE",
    help="A rule that the data may break; repeatable.",
)
@command_line_only(
    "--route",
    "routes",
    because=WEAKENS_PROOF,
    multiple=True,
    type=click.Choice(list(ROUTES)),
    help="A way by which the mask reaches the LSTM; repeatable.  [default: all]",
)
@setting(
    "--device",
    type=click.Choice(DEVICES),
    default="auto",
    show_default=True,
    help="Where models run; gpu is an error where there is none.",
)
@setting(
    "--backend",
    type=click.Choice(BACKENDS),
    default=None,
    help="What Keras runs on.  [default: KERAS_BACKEND, else tensorflow]",
)
@setting("--seed", type=click.IntRange(min=0), default=0, show_default=True, help="Of weights and draws.")
@command_line_only(
    "--sample",
    because=WEAKENS_PROOF,
    type=click.IntRange(min=1),
    default=256,
    show_default=True,
    metavar="N",
    help="Rows the proof is made on: the shortest, the longest, and others drawn at random.",
)
@setting(
    "--batch-size",
    type=click.IntRange(min=1),
    default=None,
    metavar="N",
    help="Rows a model sees at once.  [default: 512, of somebody's own model 64]",
)
@setting(
    "--vocab-size",
    type=click.IntRange(min=1),
    default=None,
    metavar="N",
    help="Ids there are, 0 among them.  [default: found from the data]",
)
@setting(
    "--embedding-dim", type=click.IntRange(min=1), default=16, show_default=True, help="Of reference models."
)
@setting("--units", type=click.IntRange(min=1), default=32, show_default=True, help="Of their LSTM.")
@command_line_only(
    "--report",
    "reports",
    type=PathOrAddress("json", "junit"),
    because=WRITES,
    multiple=True,
    metavar="[json:|junit:]FILE|github",
    help="Also write a report: JSON, JUnit XML, or annotations for GitHub Actions on stdout; repeatable.",
)
@setting("--json", "as_json", is_flag=True, help="Print the report as one JSON object.")
@quiet_options
@click.pass_context
def command(ctx: click.Context, /, **given: Any) -> int:
    """Prove that masked outputs ignore padding, or say what leaks.

    Audits the data, raw or padded, then runs Embedding and LSTM models on them, or your own
    model, and tries to make padding change what it says. A leak is traced to its layer. Exit
    code 0: proven; 1: a leak, a broken rule, or no proof either way; 2: could not run.

    \b
    Examples:
      padmask verify sample_data/jargon.jsonl --maxlen 64
      padmask verify padded.parquet --report junit:verify.xml --report json:verify.json
      padmask verify train.jsonl --no-model
      padmask verify tokens.jsonl --model model.keras
      padmask verify --model model.keras --vocab-size 32000 --explain
      padmask verify tokens.jsonl --predict mypackage.serve:predict
    """
    given["has_model"] = given["model"] is not None or given["predict"] is not None
    _check_usage(ctx, given)
    given["declared"] = declared_side(ctx, given)
    from padmask.storage.conflicts import loaded_files, refuse_replaced

    wanted = [_form(text) for text in given["reports"]]
    _check_streams(wanted, given)
    with ExitStack() as stack:
        # Opened first: a run whose report cannot be written should not begin.
        streams = [(form, _open(stack, path)) for form, path in wanted]
        report = _verify(given)
        # What was imported on the way was read too.
        refuse_replaced(_report_files(wanted), loaded_files())
        for form, stream in streams:
            if stream is not None:
                _write(form, stream, report)
    if not given["as_json"] and not given["quiet"]:
        from padmask.render.console import make_console
        from padmask.render.report import show_report

        show_report(report, make_console())
    for form, stream in streams:
        if stream is None:
            _write(form, None, report)
    if given["as_json"]:
        _write("json", None, report)
    return 0 if report.ok else 1


def _check_usage(ctx: click.Context, given: dict[str, Any]) -> None:
    if not given["inputs"] and not given["has_model"]:
        raise click.UsageError(
            "There is nothing to verify: name a file, - for stdin, or a model with --model or --predict."
        )
    if given["model"] is not None and given["predict"] is not None:
        raise click.UsageError("--model and --predict are two subjects: verify one at a time.")
    if given["has_model"] and given["no_model"]:
        raise click.UsageError("--no-model checks the data alone: leave it out, or the model.")
    if given["has_model"] and given["routes"]:
        raise click.UsageError("--route is for the reference models, which --model and --predict replace.")
    for name in ("model_inputs", "custom_objects", "allow_unsafe_model", "explain"):
        if given[name] and given["model"] is None:
            option = "--input" if name == "model_inputs" else "--" + name.replace("_", "-")
            raise click.BadOptionUsage(name, f"{option} goes with --model.", ctx)


def _verify(given: dict[str, Any]) -> Any:
    from padmask.verify.data.look import RuleSpec
    from padmask.verify.verify_file import verify_file

    # What people's own code prints must not get between the lines of a report.
    with open_progress(given) as progress, redirect_stdout(sys.stderr):
        return verify_file(
            given["inputs"],
            columns=given["columns"],
            spec=spec_of(given, given["maxlen"]),
            rules=RuleSpec(strict=given["strict"], allow=given["allow"]),
            proof=_model_proof(given) if given["has_model"] else _reference_proof(given),
            mask_column=given["mask_column"],
            declared=given["declared"],
            input_format=given["input_format"],
            limit=given["limit"],
            progress=progress,
        )


def _reference_proof(given: dict[str, Any]) -> Any:
    from padmask.spec.verify import ReferenceSpec
    from padmask.verify.verify_file import ProofSpec

    names = ("embedding_dim", "units", "vocab_size", "seed", "batch_size")
    asked = {name: given[name] for name in names if given[name] is not None}
    reference = ReferenceSpec(routes=tuple(dict.fromkeys(given["routes"])) or tuple(ROUTES), **asked)
    if given["no_model"]:
        return None
    return ProofSpec(
        reference=reference, backend=given["backend"], device=given["device"], sample=given["sample"]
    )


def _model_proof(given: dict[str, Any]) -> Any:
    from padmask.spec.verify import ModelSpec
    from padmask.verify.verify_file import ModelProof

    spec = ModelSpec(
        padding=given["padding"],
        value=None if given["value"] is None else _number(given["value"]),
        vocab_size=given["vocab_size"],
        seed=given["seed"],
        explain=given["explain"],
        batch_size=given["batch_size"] or USER_BATCH,
    )
    return ModelProof(
        spec=spec,
        model=given["model"],
        predict=given["predict"],
        inputs=dict(_named_column(text) for text in given["model_inputs"]),
        custom_objects=given["custom_objects"],
        allow_unsafe=given["allow_unsafe_model"],
        backend=given["backend"],
        device=given["device"],
        sample=given["sample"],
    )


def _number(text: str) -> int | float:
    for read in (int, float):
        with suppress(ValueError):
            return read(text)
    raise SpecError(
        f"--value {text!r} is no number, which is what a model is padded with. Give one.", options=["value"]
    )


def _named_column(text: str) -> tuple[str, str]:
    name, equals, column = text.partition("=")
    if not name or not equals or not column:
        raise SpecError(
            f"--input takes NAME=COLUMN, as in --input tokens=input_ids, not {text!r}.",
            options=["model_inputs"],
        )
    return name, column


def _form(text: str) -> tuple[str, str]:
    """Read where a report goes and in which form: a bare file is JSON."""
    if text == "github":
        return "github", "-"
    form, colon, path = text.partition(":")
    # A single letter is a drive.
    if colon and form.isalpha() and len(form) > 1 and form not in ("json", "junit"):
        raise SpecError(
            f"--report {text}: there is no form {form!r}.{did_you_mean(form, ['json', 'junit', 'github'])} "
            "Choose json:FILE, junit:FILE or github."
        )
    if text in ("json", "junit") or (not colon and text.endswith(".xml")):
        raise SpecError(f"--report {text}: say form and file, as in junit:verify.xml or json:verify.json.")
    if form not in ("json", "junit") or not colon:
        form, path = "json", text
    if not path:
        raise SpecError(f"--report {text} names no file. Give one, as in {form}:verify.{form}.")
    from padmask.storage.output_places import descriptor_of

    return form, "-" if descriptor_of(path) == 1 else path


def _check_streams(wanted: list[tuple[str, str]], given: dict[str, Any]) -> None:
    """Refuse two things in one place, and reports in place of what is read."""
    from padmask.storage.conflicts import module_files, refuse_conflicts, refuse_replaced

    reports = _report_files(wanted)
    if len(set(reports.values())) < sum(path != "-" for _, path in wanted):
        raise SpecError("Two reports cannot go to one file: give each its own.")
    code = [path for path in (given["model"], given["custom_objects"]) if path]
    module = (given["predict"] or "").partition(":")[0]
    refuse_replaced(reports, code + (module_files(module) if module else []))
    to_stdout = sum(path == "-" for _, path in wanted) + given["as_json"]
    if to_stdout > 1:
        raise SpecError("Two reports cannot both go to stdout: name a file for one of them.")
    if any(path == "-" and form != "github" for form, path in wanted):
        # Whoever reads the report wants nothing else beside it.
        given["quiet"] = True
    prints = to_stdout or not given["quiet"]
    refuse_conflicts(({"the printed report": "-"} if prints else {}) | reports, given["inputs"])


def _report_files(wanted: list[tuple[str, str]]) -> dict[str, str | None]:
    """Return the paths of the reports that go to files, by what they are."""
    files = [(form, path) for form, path in wanted if path != "-"]
    return {
        f"the {form} report {number}".removesuffix(" 1"): path for number, (form, path) in enumerate(files, 1)
    }


def _open(stack: ExitStack, path: str) -> Any:
    if path == "-":
        return None
    from padmask.storage.output import open_output

    return stack.enter_context(open_output(path))


def _write(form: str, stream: Any, report: Any) -> None:
    from padmask.verify import report_formats as forms

    text = {"json": forms.to_json, "junit": forms.to_junit, "github": forms.to_annotations}[form](report)
    if stream is None:
        click.echo(text, nl=False)
    else:
        stream.write(text.encode(errors="backslashreplace"))
