"""The commands `compare` and `report`: options, what they run, and where the results go."""

import json
import math
import pathlib
import shlex
import subprocess
import sys

QUICK_TEXTS = 2
NEEDLE_TEXTS = 2


def add_compare(commands):
    command = commands.add_parser("compare", help="bits against damage: Sluice and its peers on real models and held-out texts")
    command.add_argument("--model", action="append", help="GGUF file, model folder, or a name: smollm2, gemma3; may repeat (smollm2)")
    command.add_argument("--suite", choices=("text", "copy", "needle", "lossless"), default="text", help="what is judged (text)")
    command.add_argument("--context", type=int, help="tokens whose cache is coded (640; needle 4096)")
    command.add_argument("--scored", type=int, default=160, help="tokens judged after them (160)")
    command.add_argument("--texts", type=int, help="only so many of the held-out texts")
    command.add_argument("--text", action="append", default=[], metavar="FILE", help="own text files instead of the held-out ones; may repeat")
    command.add_argument("--tiers", default="T0,T1,T2,T3", help="of Sluice (T0,T1,T2,T3)")
    command.add_argument("--profile", action="append", default=[], metavar="TIER=P.slp", help="a profile made elsewhere; may repeat")
    command.add_argument("--calibrate-on", default="", metavar="KIND", help="calibrate on one sort only: jargon, manual, python (all)")
    command.add_argument("--only", default="", metavar="TEXT", help="only schemes whose name has one of these, by comma")
    command.add_argument("--nested", action="store_true", help="the stages of nested levels too")
    command.add_argument("--key-biases", action="store_true", help="with constants of 100 to 350 on some of the model's keys (variants.py)")
    command.add_argument("--quick", action="store_true", help="two texts, no calibration: a look in a minute")
    command.add_argument("--require", action="append", default=[], metavar="ROW.TIER", help="fail unless every model reaches this; may repeat")
    command.add_argument("--program", help="the program sluice (of build/release)")
    command.add_argument("--json", metavar="FILE", help="the report as JSON; /dev/stdout replaces the table")
    command.add_argument("--svg", metavar="FILE", help="its picture")
    command.set_defaults(run=run_compare)


def add_report(commands):
    command = commands.add_parser("report", help="docs/benchmarks/quality.md and its pictures from reports of compare")
    command.add_argument("reports", nargs="+", metavar="REPORT.json")
    command.add_argument("--out", default="docs/benchmarks/quality.md")
    command.set_defaults(run=run_report)


def trials_of(options, tokenizer):
    from sluice.quality import texts, trials
    passages = [texts.own(path) for path in options.text] or texts.HELD_OUT[:options.texts or (QUICK_TEXTS if options.quick else None)]
    if options.suite == "needle":
        passages = [texts.own(path) for path in options.text] or texts.LONG[:options.texts or NEEDLE_TEXTS]
        return trials.needle_trials(tokenizer, passages, options.context or 4096), passages
    make = trials.copy_trials if options.suite == "copy" else trials.text_trials
    return make(tokenizer, passages, options.context or 640, options.scored), passages


def schemes_of(options, model, loaded):
    from sluice.quality import calibration, comparison, profiles, sluice_program, texts
    material = profile_of = None
    program = sluice_program.Program(options.program)
    if not options.quick:
        chosen = [passage for passage in texts.CALIBRATION if passage.kind == options.calibrate_on or not options.calibrate_on]
        material = calibration.ensure(model, loaded, chosen)
        profile_of = lambda tier: profiles.ensure(program, tier, material, model, loaded)  # noqa: E731
    given = [tuple(pair.split("=", 1)) for pair in options.profile]
    schemes = comparison.peer_schemes(material) + comparison.sluice_schemes(program, options.tiers.split(","), profile_of, given, options.nested)
    wanted = [word for word in options.only.split(",") if word]
    return [scheme for scheme in schemes if not wanted or any(word in scheme.name for word in wanted)]


def run_compare(options):
    from sluice.quality import plot, presentation
    documents = [strict(one_model(options, name)) for name in options.model or ["smollm2"]]
    if options.svg:
        pathlib.Path(options.svg).write_text(plot.as_svg(documents[0]), encoding="utf-8")
    if options.json:
        pathlib.Path(options.json).write_text(json.dumps({"reports": documents}, indent=1, allow_nan=False) + "\n", encoding="utf-8")
    if options.json != "/dev/stdout":
        print("\n\n".join(presentation.as_text(loose(document)) for document in documents))
    missing = [f"{document['model']} {wanted}" for document in documents for wanted in options.require if not is_reached(document, wanted)]
    if missing:
        print(f"sluice.quality: not reached: {', '.join(missing)}", file=sys.stderr)
    return 1 if missing else 0


def repeating_command(options, model):
    """What measures the same again; where results go and which build is measured are left out."""
    words = ["./dev", "quality", "compare", "--model", model, "--suite", options.suite]
    for name in ("context", "texts", "tiers", "calibrate_on", "only"):
        if getattr(options, name):
            words += ["--" + name.replace("_", "-"), str(getattr(options, name))]
    for path in options.text:
        words += ["--text", path]
    words += ["--" + name.replace("_", "-") for name in ("nested", "key_biases", "quick") if getattr(options, name)]
    return shlex.join(words)


def add_rows(commands):
    command = commands.add_parser("rows", help="what a measured JSON says of one row of the codec's promises, by model")
    command.add_argument("report", metavar="REPORT.json", help="docs/benchmarks/quality.json, or one of compare's")
    command.add_argument("--row", required=True, metavar="ROW.TIER", help="row1.T0 ... row6.T3")
    command.add_argument("--model", required=True, help="beginning of the model's name, in any case")
    command.add_argument("--suite", default="text")
    command.set_defaults(run=run_rows)


def run_rows(options):
    """Prints the answer as JSON; exit 1 where it was not measured or not reached."""
    reports = json.loads(pathlib.Path(options.report).read_text(encoding="utf-8"))["reports"]
    found = [document for document in reports if document["suite"] == options.suite and document["model"].lower().startswith(options.model)]
    row, _, tier = options.row.partition(".")
    for document in found:
        if is_reached(document, options.row):
            facts = {key: document[key] for key in ("model", "machine", "commit", "formats")}
            print(json.dumps(facts | document["rows"][row][tier]))
            return 0
    print(f"sluice.quality: {options.report} has no answer to {options.row} for {options.model}", file=sys.stderr)
    return 1


def is_reached(document, wanted):
    row, _, tier = wanted.partition(".")
    return document["rows"].get(row, {}).get(tier, {}).get("bits") is not None


def one_model(options, name):
    """The report on one model."""
    from sluice.quality import comparison, judge, loading, sluice_program, texts, variants
    path = loading.model_path(name)
    loaded = loading.load_model(name)
    if options.key_biases:
        variants.add_key_biases(loaded[0])
    trials, passages = trials_of(options, loaded[1])
    if options.suite == "lossless":
        caches = [judge.Judge(loaded[0], trial).cache for trial in trials]
        document = comparison.lossless_report(path.name, sluice_program.Program(options.program), caches)
    else:
        document = judged_report(options, path, trials, loaded)
    return document | {"command": repeating_command(options, name), "formats": sluice_program.Program(options.program).formats(),
                       "commit": commit(), "packages": texts.fetched_versions(passages),
                       "texts": [{"kind": trial.kind, "name": trial.name} for trial in trials]}


def commit():
    """Of the tree that this file is in, with a plus where files of it differ; empty outside of git."""
    def ask(*words):
        return subprocess.run(["git", *words], cwd=pathlib.Path(__file__).parent, capture_output=True, text=True, check=False).stdout.strip()
    return ask("rev-parse", "--short=12", "HEAD") + ("+" if ask("status", "--porcelain", "--untracked-files=no") else "")


def judged_report(options, path, trials, loaded):
    from sluice.quality import comparison, loading, measure
    model = loading.fingerprint(path) + ("-key-biases" if options.key_biases else "")
    schemes = schemes_of(options, model, loaded)
    results = measure.measure(loaded[0], measure.Ledger(model), trials, schemes)
    promises = {scheme.name: scheme.promise for scheme in schemes if scheme.promise}
    return comparison.report(path.name, suite_name(options), trials, comparison.as_samples(schemes, results), promises)


def suite_name(options):
    """What is judged, in one word or two: the suite, and how this run departs from the usual one."""
    return " ".join([options.suite, *(["calibrated on", options.calibrate_on] if options.calibrate_on else []),
                     *(["with key biases"] if options.key_biases else [])])


def strict(document):
    """The document with null for what was not reached, as JSON has no NaN."""
    if isinstance(document, dict):
        return {key: strict(value) for key, value in document.items()}
    if isinstance(document, list):
        return [strict(value) for value in document]
    return None if isinstance(document, float) and math.isnan(document) else document


def loose(document):
    """The inverse of strict() where the tables compute with it."""
    for answers in document["rows"].values():
        for answer in answers.values():
            for key in ("bits", "percent"):
                if key in answer and answer[key] is None and "exactness" in answer:
                    answer[key] = math.nan
            if "interval" in answer:
                answer["interval"] = [math.nan if x is None else x for x in answer["interval"]]
    return document


def picture_stem(document):
    return f"{document['model'].split('-')[0].lower()}-{document['suite'].replace(' ', '-')}-{len(document['texts'])}"


def run_report(options):
    from sluice.quality import plot, presentation
    out = pathlib.Path(options.out)
    documents = [loose(document) for path in options.reports for document in json.loads(pathlib.Path(path).read_text(encoding="utf-8"))["reports"]]
    names = [f"quality-{picture_stem(document)}.svg" if document["schemes"] else None for document in documents]
    out.parent.mkdir(parents=True, exist_ok=True)
    for document, name in zip(documents, names):
        if name:
            (out.parent / name).write_text(plot.as_svg(document), encoding="utf-8")
    out.write_text(presentation.as_markdown(documents, names), encoding="utf-8")
    merged = {"reports": [strict(document) for document in documents]}
    out.with_suffix(".json").write_text(json.dumps(merged, indent=1, allow_nan=False) + "\n", encoding="utf-8")
    print(f"{out}: {len(documents)} reports")
    return 0
