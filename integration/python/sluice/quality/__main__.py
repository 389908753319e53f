"""`sluice codec compare`, `./dev quality` and `python3 -m sluice.quality`: the command line of the quality harness."""

import argparse
import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2]))

from sluice.quality import environment  # noqa: E402  (the path above makes the package importable when this file is run by name)


NEEDS_NOTHING = ("run_rows", "run_report")  # read JSON alone


def add_dump(commands):
    command = commands.add_parser("dump", help="KV cache and gradients of a text, for `sluice codec calibrate`")
    command.add_argument("out", metavar="OUT.safetensors")
    command.add_argument("--model", required=True, help="GGUF file, model folder, or a name: smollm2, gemma3")
    command.add_argument("--text", required=True, help="text file (.gz too)")
    command.add_argument("--first", type=int, default=0, help="first character of the text that is used")
    command.add_argument("--tokens", type=int, default=640, help="tokens whose cache is written (640)")
    command.add_argument("--following", type=int, default=160, help="tokens after them that the gradients come from (160)")
    command.add_argument("--gradients", type=int, default=3, metavar="ROWS", help="rows of gradients; 0 writes none (3)")
    command.add_argument("--dtype", choices=("F32", "F16", "BF16"), default="F32", help="of k and v (F32)")
    command.add_argument("--extras", action="store_true", help="q, attn and wo too")
    command.add_argument("--seed", type=int, default=1)
    command.set_defaults(run=run_dump)


def run_dump(options):
    from sluice.quality import dump, loading, texts
    decoder, tokenizer = loading.load_model(options.model)
    text = texts.read_file(options.text, options.first)
    tokens = texts.tokens_of(tokenizer, text[:20 * (options.tokens + options.following)], options.tokens + options.following, options.text)
    shapes = dump.write_dump(options.out, decoder, tokens, options)
    print(f"{options.out}: " + ", ".join(f"{name} {shape}" for name, shape in shapes.items()))
    return 0


def add_selfcheck(commands):
    command = commands.add_parser("selfcheck", help="the model's forward and gradients on tiny random weights")
    command.set_defaults(run=run_selfcheck)


def run_selfcheck(_options):
    from sluice.quality import selfcheck
    error = selfcheck.worst_error()
    print(f"selfcheck: worst error {error:.1e}, limit {selfcheck.LIMIT:.0e}: {'ok' if error < selfcheck.LIMIT else 'FAILED'}")
    return 0 if error < selfcheck.LIMIT else 1


def main(arguments):
    parser = argparse.ArgumentParser(prog="sluice.quality", description="what a codec does to a model's answers")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    from sluice.quality.coding_command import add_nesting, add_rate
    from sluice.quality.compare_command import add_compare, add_report, add_rows
    from sluice.quality.page_command import add_page
    from sluice.quality.sensitivity_command import add_profile, add_sensitivity
    for add in (add_compare, add_dump, add_nesting, add_page, add_profile, add_rate, add_report, add_rows, add_selfcheck, add_sensitivity):
        add(commands)
    options = parser.parse_args(arguments)
    try:
        if options.run.__name__ not in NEEDS_NOTHING:
            environment.require()
        return options.run(options)
    except (environment.Absent, ValueError, OSError) as fault:
        print(f"sluice.quality: {fault}", file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
