"""KV caches to bytes and back, over the C ABI of libsluice (integration/capi/sluice.h) by ctypes; needs numpy only.

    file = sluice.codec.encode(k, v, rope={"style": "halves", "base": 10000.0}, level="lossless")
    k, v = sluice.codec.decode(file)

k and v are [layers, tokens, kv_heads, head_dim], K as the engine caches it. Types: float32, float16; bfloat16 and float8 (E4M3, E5M2) as
uint16 and uint8 arrays with dtype="bf16", "e4m3" or "e5m2", since numpy has no such types. Contiguous arrays are coded where they lie.
Every call releases the GIL while it codes. What goes wrong is a SluiceError with the pinned number and name of base/error.h.
The library is found by the environment variable SLUICE_LIBRARY, else beside the build, else by the loader.
"""

import ctypes
import json
import os
import pathlib

import numpy as np

ABI_VERSION = 1
DTYPES = {"f32": (0, np.float32), "f16": (1, np.float16), "bf16": (2, np.uint16), "e4m3": (3, np.uint8), "e5m2": (4, np.uint8)}
ROPE_STYLES = {"none": 0, "pairs": 1, "halves": 2}
SCALINGS = {"none": 0, "linear": 1, "llama3": 2, "yarn": 3}
BUILT = pathlib.Path(__file__).resolve().parents[3] / "build/release/integration/capi/libsluice.so"


class SluiceError(Exception):
    """code: the pinned number; name: its stable name; where: what was looked at; hint: what to do."""

    def __init__(self, code, name, where, hint):
        super().__init__(f"{name}: {where} ({hint})")
        self.code, self.name, self.where, self.hint = code, name, where, hint


class _Error(ctypes.Structure):
    _fields_ = [("code", ctypes.c_int32), ("native", ctypes.c_int32), ("where", ctypes.c_char_p)]


class _Format(ctypes.Structure):
    _fields_ = [("struct_size", ctypes.c_uint32), ("dtype", ctypes.c_uint32), ("layers", ctypes.c_uint64), ("tokens", ctypes.c_uint64),
                ("kv_heads", ctypes.c_uint64), ("head_dim", ctypes.c_uint64), ("first_position", ctypes.c_uint64),
                ("rope_style", ctypes.c_uint32), ("rope_dims", ctypes.c_uint32), ("rope_base", ctypes.c_double),
                ("scaling", ctypes.c_uint32), ("scaling_factor", ctypes.c_float), ("scaling_low", ctypes.c_float),
                ("scaling_high", ctypes.c_float), ("scaling_original_tokens", ctypes.c_uint32),
                ("rope_local_period", ctypes.c_uint32), ("rope_local_base", ctypes.c_double)]


class _Options(ctypes.Structure):
    _fields_ = [("struct_size", ctypes.c_uint32), ("level", ctypes.c_char_p), ("profile", ctypes.c_void_p), ("stages", ctypes.c_uint32),
                ("chunk_tokens", ctypes.c_uint32), ("group_layers", ctypes.c_uint32)]


class _Dump(ctypes.Structure):
    _fields_ = [("name", ctypes.c_char_p), ("file", ctypes.c_void_p), ("size", ctypes.c_size_t)]


class _Level(ctypes.Structure):
    _fields_ = [("name", ctypes.c_char_p), ("kl", ctypes.c_double), ("stages", ctypes.c_uint32)]


_PROGRESS = ctypes.CFUNCTYPE(ctypes.c_int32, ctypes.c_void_p, ctypes.c_char_p, ctypes.c_double)


class _Calibration(ctypes.Structure):
    _fields_ = [("struct_size", ctypes.c_uint32), ("tier", ctypes.c_uint32), ("layers_back", ctypes.c_uint32),
                ("intra_every", ctypes.c_uint32), ("levels", ctypes.POINTER(_Level)), ("level_count", ctypes.c_size_t),
                ("sensitivity", ctypes.c_char_p), ("progress", _PROGRESS), ("progress_context", ctypes.c_void_p)]


def _load():
    path = os.environ.get("SLUICE_LIBRARY") or (str(BUILT) if BUILT.exists() else "libsluice.so.1")
    library = ctypes.CDLL(path)
    library.sluice_abi_version.restype = ctypes.c_uint32
    if library.sluice_abi_version() != ABI_VERSION:
        raise ImportError(f"{path} has ABI {library.sluice_abi_version()}, this module speaks {ABI_VERSION}")
    for name in ("sluice_error_name", "sluice_error_hint"):
        getattr(library, name).restype = ctypes.c_char_p
    library.sluice_bytes_data.restype, library.sluice_bytes_size.restype = ctypes.c_void_p, ctypes.c_size_t
    for name in ("sluice_bytes_data", "sluice_bytes_size", "sluice_bytes_free", "sluice_profile_close"):
        getattr(library, name).argtypes = [ctypes.c_void_p]
    library.sluice_bytes_free.restype = library.sluice_profile_close.restype = None
    return library


_LIBRARY = _load()


def _call(function, *arguments):
    error = _Error()
    code = function(*arguments, ctypes.byref(error))
    if code:
        name, hint = (told(code).decode() for told in (_LIBRARY.sluice_error_name, _LIBRARY.sluice_error_hint))
        raise SluiceError(code, name, (error.where or b"").decode(), hint)


def _taken(handle):
    """The bytes behind a handle; one copy, then the library's are freed."""
    try:
        return ctypes.string_at(_LIBRARY.sluice_bytes_data(handle), _LIBRARY.sluice_bytes_size(handle))
    finally:
        _LIBRARY.sluice_bytes_free(handle)


def _view(data):
    """(address, size, what must stay alive) of bytes or any other contiguous buffer, without a copy."""
    array = np.frombuffer(data, np.uint8)
    return ctypes.c_void_p(array.ctypes.data), ctypes.c_size_t(array.size), array


class Profile:
    """A calibration profile (.slp) by its bytes, or by the path of its file. May be shared between threads."""

    def __init__(self, source):
        is_path = isinstance(source, (str, os.PathLike))
        self.file = pathlib.Path(source).read_bytes() if is_path else bytes(source)
        self.handle = ctypes.c_void_p()
        address, size, _alive = _view(self.file)
        _call(_LIBRARY.sluice_profile_open, address, size, ctypes.byref(self.handle))

    def __del__(self):
        if getattr(self, "handle", None):
            _LIBRARY.sluice_profile_close(self.handle)


def _opened(profile):
    return profile if profile is None or isinstance(profile, Profile) else Profile(profile)


def _options(level, profile, stages=0, chunk_tokens=0, group_layers=0):
    return _Options(ctypes.sizeof(_Options), level.encode() if level else None, profile.handle if profile else None, stages,
                    chunk_tokens, group_layers)


def _dtype_name(array, named):
    if named is not None:
        return named
    for name, (_, kind) in DTYPES.items():
        if array.dtype == kind and array.dtype.kind == "f":
            return name
    raise TypeError(f"{array.dtype}: give dtype, one of {', '.join(DTYPES)}")


def _rows(k, v, rope, dtype, first_position):
    """(format, K, V); copies only what is not contiguous."""
    k, v = (np.ascontiguousarray(x) for x in (k, v))
    if k.ndim != 4 or k.shape != v.shape or k.dtype != v.dtype:
        raise ValueError(f"k {k.dtype}{k.shape} and v {v.dtype}{v.shape} must be alike: [layers, tokens, kv_heads, head_dim]")
    name = _dtype_name(k, dtype)
    number, kind = DTYPES[name]
    if k.dtype != kind:
        raise TypeError(f"dtype {name} wants an array of {np.dtype(kind)}, not {k.dtype}")
    rope = dict(rope or {})
    scaling = dict(rope.pop("scaling", None) or {})
    style = rope.pop("style", "none")
    out = _Format(ctypes.sizeof(_Format), number, *k.shape, first_position, ROPE_STYLES[style])
    if style != "none":
        out.rope_dims, out.rope_base = rope.pop("dims", k.shape[3]), rope.pop("base", 10000.0)
        out.rope_local_base, out.rope_local_period = rope.pop("local_base", 0.0), rope.pop("local_period", 0)
        out.scaling = SCALINGS[scaling.pop("kind", "none")]
        for key in ("factor", "low", "high", "original_tokens"):
            setattr(out, f"scaling_{key}", scaling.pop(key, 0))
    if rope or scaling:
        raise ValueError(f"unknown in rope: {', '.join([*rope, *scaling])}")
    return out, k, v


def encode(k, v, rope=None, profile=None, level=None, *, stages=0, dtype=None, first_position=0, chunk_tokens=0, group_layers=0):
    """A .slk file as bytes.

    rope: None (K is not rotated, or it is not known how) or a dict: style "pairs" or "halves", base, dims, local_base, local_period, scaling
    {kind: linear | llama3 | yarn, factor, low, high, original_tokens}. level: raw, lossless, int8, base, refinement1, refinement2, or a
    profile's; None: lossless, with a profile its "default"."""
    form, k, v = _rows(k, v, rope, dtype, first_position)
    opened, handle = _opened(profile), ctypes.c_void_p()
    _call(_LIBRARY.sluice_codec_encode, ctypes.byref(form), ctypes.c_void_p(k.ctypes.data), ctypes.c_void_p(v.ctypes.data),
          ctypes.byref(_options(level, opened, stages, chunk_tokens, group_layers)), ctypes.byref(handle))
    return _taken(handle)


def decode(file, profile=None, *, level=None, stages=0, most_bytes=16 << 30):
    """(k, v) of a .slk file; the arrays' type is that of the file. Rows larger than most_bytes are refused before memory is taken."""
    address, size, _alive = _view(file)
    form = _Format(ctypes.sizeof(_Format))
    _call(_LIBRARY.sluice_codec_format, address, size, ctypes.byref(form))
    kind = next(kind for number, kind in DTYPES.values() if number == form.dtype)
    shape = (form.layers, form.tokens, form.kv_heads, form.head_dim)
    side = int(np.prod(shape, dtype=object)) * np.dtype(kind).itemsize
    if 2 * side > most_bytes:
        raise ValueError(f"the file's rows take {2 * side} bytes, more than most_bytes")
    k, v, opened = np.empty(shape, kind), np.empty(shape, kind), _opened(profile)
    _call(_LIBRARY.sluice_codec_decode, address, size, ctypes.byref(_options(level, opened, stages)), ctypes.c_void_p(k.ctypes.data),
          ctypes.c_void_p(v.ctypes.data), ctypes.c_size_t(side))
    return k, v


def inspect(file, profile=None):
    """What a .slk or .slp file holds, as a dict: the same as `sluice codec inspect --format json`."""
    address, size, _alive = _view(file.file if isinstance(file, Profile) else file)
    opened, handle = _opened(profile), ctypes.c_void_p()
    _call(_LIBRARY.sluice_codec_inspect, address, size, opened.handle if opened else None, ctypes.byref(handle))
    return json.loads(_taken(handle))


def rate(k, v, rope=None, profile=None, *, dtype=None, first_position=0, chunk_tokens=0, group_layers=0):
    """Sizes before anything is coded: {"levels": [{"level", "stage_bytes": [base, refinement 1, ...]}], "lossless_bytes", "raw_bytes"}."""
    form, k, v = _rows(k, v, rope, dtype, first_position)
    opened, handle = _opened(profile), ctypes.c_void_p()
    _call(_LIBRARY.sluice_codec_rate, ctypes.byref(form), ctypes.c_void_p(k.ctypes.data), ctypes.c_void_p(v.ctypes.data),
          ctypes.byref(_options(None, opened, 0, chunk_tokens, group_layers)), ctypes.byref(handle))
    return json.loads(_taken(handle))


def calibrate(dumps, kl=None, *, tier=2, levels=(), layers_back=0, intra_every=0, progress=None):
    """A Profile from dumps: paths of safetensors files, or their bytes, as `sluice codec calibrate --kv` reads them.

    levels: (name, KL in nats per token) or (name, KL, stages); none: the usual ones. kl: a function (dump number, k, v) -> KL per token of
    the model's answers when its cache is the given one instead of the dump's own. With it, levels are measured on every dump and made again,
    so that they keep what they promise. progress: a function (phase, share); anything true that it returns ends the calibration."""
    files = [pathlib.Path(dump).read_bytes() if isinstance(dump, (str, os.PathLike)) else dump for dump in dumps]
    settings = {"tier": tier, "levels": levels, "layers_back": layers_back, "intra_every": intra_every, "progress": progress}
    profile = _calibrated(files, None, **settings)
    if kl is None:
        return profile
    curve = []
    for level in inspect(profile)["levels"]:
        losses = []
        for number, file in enumerate(files):
            losses.append(np.asarray(kl(number, *decode(_encode_dump(file, profile, level["level"]), profile)), np.float64).reshape(-1))
        told = np.concatenate(losses)
        curve.append({"tier": tier, "step": level["step"], "stages": len(level["stages"]), "kl_mean": float(told.mean()),
                      "kl_p99": float(np.quantile(told, 0.99))})
    return _calibrated(files, json.dumps({"curve": curve}).encode(), **settings)


def _encode_dump(file, profile, level):
    address, size, _alive = _view(file)
    handle = ctypes.c_void_p()
    _call(_LIBRARY.sluice_codec_encode_dump, address, size, ctypes.byref(_options(level, profile)), ctypes.byref(handle))
    return _taken(handle)


def _calibrated(files, sensitivity, *, tier, levels, layers_back, intra_every, progress):
    views = [_view(file) for file in files]
    dumps = (_Dump * len(files))(*(_Dump(f"dump {i}".encode(), address, size) for i, (address, size, _) in enumerate(views)))
    targets = (_Level * len(levels))(*(_Level(name.encode(), loss, *(stages or (1,))) for name, loss, *stages in levels))
    heard = _PROGRESS((lambda _context, phase, share: int(bool(progress(phase.decode(), share)))) if progress else 0)
    options = _Calibration(ctypes.sizeof(_Calibration), tier, layers_back, intra_every, targets, len(levels), sensitivity, heard, None)
    handle = ctypes.c_void_p()
    _call(_LIBRARY.sluice_codec_calibrate, dumps, ctypes.c_size_t(len(files)), ctypes.byref(options), ctypes.byref(handle))
    return Profile(_taken(handle))
