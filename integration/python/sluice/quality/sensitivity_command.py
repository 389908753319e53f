"""The commands `sensitivity` and `profile`. The first measures what a profile's levels really cost in KL, on texts of the calibration's
kinds, and writes the curve that `sluice codec calibrate --sensitivity` reads; the second makes the whole profile, from a model's name to
the file with the measured curve in it. No held-out text is touched, and seeds are fixed.
"""

import pathlib
import shutil


def add_sensitivity(commands):
    command = commands.add_parser("sensitivity", help="measured KL over step, for `sluice codec calibrate --sensitivity`")
    add_choice(command, "S.json")
    command.set_defaults(run=run_sensitivity)


def add_profile(commands):
    command = commands.add_parser("profile", help="calibrates a model, measures every level's damage, and writes the profile that states it")
    add_choice(command, "OUT.slp")
    command.set_defaults(run=run_profile)


def add_choice(command, out):
    command.add_argument("out", metavar=out)
    command.add_argument("--model", default="smollm2", help="GGUF file, model folder, or a name: smollm2, gemma3 (smollm2)")
    command.add_argument("--tier", type=int, choices=(1, 2, 3), default=2)
    command.add_argument("--program", help="the program sluice (of build/release)")


def wanted(options):
    """Arguments of profiles.measured_curve and profiles.ensure."""
    from sluice.quality import calibration, loading, sluice_program, texts
    model, loaded = loading.fingerprint(loading.model_path(options.model)), loading.load_model(options.model)
    material = calibration.ensure(model, loaded, texts.CALIBRATION)
    return sluice_program.Program(options.program), options.tier, material, model, loaded


def run_profile(options):
    from sluice.quality import profiles
    shutil.copyfile(profiles.ensure(*wanted(options)), options.out)
    print(f"{options.out}: tier {options.tier}, {pathlib.Path(options.out).stat().st_size} bytes")
    return 0


def run_sensitivity(options):
    from sluice.quality import profiles
    curve = profiles.measured_curve(*wanted(options))
    profiles.write_curve(pathlib.Path(options.out), curve)
    print(f"{options.out}: {len(curve)} points of tier {options.tier}")
    return 0
