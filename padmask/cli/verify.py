"""`padmask verify`."""

from __future__ import annotations

from contextlib import ExitStack
from typing import Any

import click

from padmask.cli.config import ConfiguredCommand
from padmask.cli.options import input_options, open_progress, quiet_options, spec_of
from padmask.errors import SpecError

ROUTE_NAMES = (
    "embedding",
    "functional",
    "masking",
    "argument",
    "temporal-split",
    "custom-embedding",
    "masked-activation",
    "temporal-softmax",
)


@click.command("verify", cls=ConfiguredCommand)
@input_options
@click.option(
    "--mask-column",
    default=None,
    metavar="NAME",
    help="Mask of padded input.  [default: what the file says, else mask or attention_mask]",
)
@click.option("--no-model/--models", default=False, help="Check the data alone; needs no TensorFlow.")
@click.option("--strict/--no-strict", default=False, help="Warnings are errors.")
@click.option("--allow", multiple=True, metavar="RULE", help="A rule that the data may break; repeatable.")
@click.option(
    "--route",
    "routes",
    multiple=True,
    type=click.Choice(ROUTE_NAMES),
    help="A way by which the mask reaches the LSTM; repeatable.  [default: all]",
)
@click.option(
    "--device",
    type=click.Choice(["auto", "cpu", "gpu"]),
    default="auto",
    show_default=True,
    help="Where models run; gpu is an error where there is none.",
)
@click.option(
    "--backend",
    type=click.Choice(["tensorflow", "jax", "torch"]),
    default=None,
    help="What Keras runs on.  [default: KERAS_BACKEND, else tensorflow]",
)
@click.option("--seed", type=int, default=0, show_default=True, help="Of weights and draws.")
@click.option(
    "--sample",
    type=click.IntRange(min=1),
    default=256,
    show_default=True,
    metavar="N",
    help="Rows the proof is made on: the shortest, the longest, and others drawn at random.",
)
@click.option(
    "--batch-size",
    type=click.IntRange(min=1),
    default=64,
    show_default=True,
    metavar="N",
    help="Rows a model sees at once.",
)
@click.option(
    "--vocab-size",
    type=click.IntRange(min=1),
    default=None,
    metavar="N",
    help="Ids there are, 0 among them.  [default: found from the data]",
)
@click.option(
    "--embedding-dim", type=click.IntRange(min=1), default=16, show_default=True, help="Of reference models."
)
@click.option("--units", type=click.IntRange(min=1), default=32, show_default=True, help="Of their LSTM.")
@click.option(
    "--report",
    "reports",
    multiple=True,
    metavar="[json:|junit:]FILE|github",
    help="Also write a report: JSON, JUnit XML, or annotations for GitHub Actions on stdout; repeatable.",
)
@click.option("--json", "as_json", is_flag=True, help="Print the report as one JSON object.")
@quiet_options
@click.pass_context
def command(ctx: click.Context, /, **given: Any) -> int:
    """Prove that masked outputs ignore padding, or say what leaks.

    Audits the data, raw or padded, then runs Embedding and LSTM models on them, and tries to
    make padding change what they say. Exit code 0: proven; 1: a leak, a broken rule, or no
    proof either way; 2: could not run.

    \\b
    Examples:
      padmask verify sample_data/jargon.jsonl --maxlen 64
      padmask verify padded.parquet --report junit:verify.xml --report json:verify.json
      padmask verify train.jsonl --no-model
    """
    if not given["inputs"]:
        raise click.UsageError("There is nothing to verify: name a file, or - for stdin.")
    source = ctx.get_parameter_source("padding")
    given["declared"] = given["padding"] if source is click.core.ParameterSource.COMMANDLINE else None
    wanted = [_form(text) for text in given["reports"]]
    _check_streams(wanted, given)
    with ExitStack() as stack:
        # Opened first: a run whose report cannot be written should not begin.
        streams = [(form, _open(stack, path)) for form, path in wanted]
        report = _verify(given)
        for form, stream in streams:
            _write(form, stream, report)
    if given["as_json"]:
        _write("json", None, report)
    elif not given["quiet"]:
        from padmask import render

        render.show_report(report, render.make_console())
    return 0 if report.ok else 1


def _verify(given: dict[str, Any]) -> Any:
    from padmask.verification import ProofSpec, RuleSpec, verify_file
    from padmask.verify.routes import ROUTES, ReferenceSpec

    names = ("embedding_dim", "units", "vocab_size", "seed", "batch_size")
    reference = ReferenceSpec(
        routes=tuple(dict.fromkeys(given["routes"])) or tuple(ROUTES), **{name: given[name] for name in names}
    )
    proof = ProofSpec(
        reference=reference, backend=given["backend"], device=given["device"], sample=given["sample"]
    )
    with open_progress(given) as progress:
        return verify_file(
            given["inputs"],
            columns=given["columns"],
            spec=spec_of(given, given["maxlen"]),
            rules=RuleSpec(strict=given["strict"], allow=given["allow"]),
            proof=None if given["no_model"] else proof,
            mask_column=given["mask_column"],
            declared=given["declared"],
            input_format=given["input_format"],
            limit=given["limit"],
            progress=progress,
        )


def _form(text: str) -> tuple[str, str]:
    """Read where a report goes and in which form: a bare file is JSON."""
    if text == "github":
        return "github", "-"
    form, colon, path = text.partition(":")
    if not colon or form not in ("json", "junit"):
        form, path = "json", text
    if not path:
        raise SpecError(f"--report {text} names no file. Give one, as in {form}:verify.{form}.")
    return form, path


def _check_streams(wanted: list[tuple[str, str]], given: dict[str, Any]) -> None:
    """Refuse two things in one place."""
    from padmask.formats.goal import refuse_same_file

    refuse_same_file({f"the {form} report": path for form, path in wanted if path != "-"})
    files = [path for _, path in wanted if path != "-"]
    if len(set(files)) < len(files):
        raise SpecError("Two reports cannot go to one file: give each its own.")
    to_stdout = sum(path == "-" for _, path in wanted) + given["as_json"]
    if to_stdout > 1:
        raise SpecError("Two reports cannot both go to stdout: name a file for one of them.")
    if to_stdout and any(path == "-" and form != "github" for form, path in wanted):
        # Whoever reads the report wants nothing else beside it.
        given["quiet"] = True


def _open(stack: ExitStack, path: str) -> Any:
    if path == "-":
        return None
    from padmask.formats.goal import open_goal

    return stack.enter_context(open_goal(path))


def _write(form: str, stream: Any, report: Any) -> None:
    from padmask.verify import report as forms

    text = {"json": forms.to_json, "junit": forms.to_junit, "github": forms.to_annotations}[form](report)
    if stream is None:
        click.echo(text, nl=False)
    else:
        stream.write(text.encode())
