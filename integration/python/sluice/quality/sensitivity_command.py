"""The command `sensitivity`: measures what a profile's levels really cost in KL, on texts of the calibration's kinds, and writes the
curve that `sluice codec calibrate --sensitivity` reads, so that a level's name keeps its promise. No held-out text is touched.
"""

import pathlib


def add_sensitivity(commands):
    command = commands.add_parser("sensitivity", help="measured KL over step, for `sluice codec calibrate --sensitivity`")
    command.add_argument("out", metavar="S.json")
    command.add_argument("--model", default="smollm2", help="GGUF file, model folder, or a name: smollm2, gemma3 (smollm2)")
    command.add_argument("--tier", type=int, choices=(1, 2, 3), default=2)
    command.add_argument("--program", help="the program sluice (of build/release)")
    command.set_defaults(run=run_sensitivity)


def run_sensitivity(options):
    from sluice.quality import calibration, loading, profiles, sluice_program, texts
    model, loaded = loading.fingerprint(loading.model_path(options.model)), loading.load_model(options.model)
    material = calibration.ensure(model, loaded, texts.CALIBRATION)
    curve = profiles.measured_curve(sluice_program.Program(options.program), options.tier, material, model, loaded)
    profiles.write_curve(pathlib.Path(options.out), curve)
    print(f"{options.out}: {len(curve)} points of tier {options.tier}")
    return 0
