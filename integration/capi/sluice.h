// The C ABI of libsluice: the codec. Plain C99; anything that can call C can use it (integration/python/sluice/codec.py
// does).
//
// Stability: functions, fields and numbers of one SLUICE_ABI_VERSION keep their meaning; fields are only added at the
// end of structs, whose struct_size says which of them the caller knows. Error numbers are those of base/error.h and
// never change.
//
// Every call that can fail returns 0 or an error number, and fills *error when that is not NULL. Outputs are untouched
// on failure, except for rows that sluice_codec_decode() was given. Nothing throws, nothing keeps a pointer that it was
// given beyond the call, except that a profile must outlive calls that use it.
//
// Threads: any number of calls at once, on different outputs; a profile may be shared by all of them.
//
// Rows: K (as the engine caches it, rotation applied) and V, each [layers][tokens][kv_heads][head_dim], contiguous,
// aligned to their type.
#pragma once

// The rest is C. NOLINTBEGIN(modernize-deprecated-headers, readability-identifier-naming)
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#if defined(__GNUC__)
#define SLUICE_API __attribute__((visibility("default")))
#else
#define SLUICE_API
#endif

#define SLUICE_ABI_VERSION 1

/* SLUICE_ABI_VERSION of the library that is loaded. */
SLUICE_API uint32_t sluice_abi_version(void);

/* What went wrong. `where` is static text in lower case, for instance "frame header". */
typedef struct sluice_error {
  int32_t code;
  int32_t native; /* errno and the like; 0 where there was none */
  const char* where;
} sluice_error;

/* The stable name of an error number ("corrupt_stream"), and what to do about it in one line. Static text. */
SLUICE_API const char* sluice_error_name(int32_t code);
SLUICE_API const char* sluice_error_hint(int32_t code);

/* Bytes that the library made; freed by whoever got them. */
typedef struct sluice_bytes sluice_bytes;
SLUICE_API const uint8_t* sluice_bytes_data(const sluice_bytes* bytes);
SLUICE_API size_t sluice_bytes_size(const sluice_bytes* bytes);
SLUICE_API void sluice_bytes_free(sluice_bytes* bytes); /* NULL is nothing */

/* A checked calibration profile (.slp). */
typedef struct sluice_profile sluice_profile;
SLUICE_API int32_t sluice_profile_open(const void* file, size_t size, sluice_profile** profile, sluice_error* error);
SLUICE_API void sluice_profile_close(sluice_profile* profile); /* NULL is nothing */

/// Storage formats: sluice_kv_format.dtype.
enum sluice_dtype { SLUICE_F32 = 0, SLUICE_F16 = 1, SLUICE_BF16 = 2, SLUICE_E4M3 = 3, SLUICE_E5M2 = 4 };
/// Which channels turn together: (2i, 2i+1), or (i, i + dims/2).
enum sluice_rope_style { SLUICE_ROPE_NONE = 0, SLUICE_ROPE_PAIRS = 1, SLUICE_ROPE_HALVES = 2 };
/// How frequencies were changed for longer contexts.
enum sluice_rope_scaling {
  SLUICE_SCALING_NONE = 0,
  SLUICE_SCALING_LINEAR = 1,
  SLUICE_SCALING_LLAMA3 = 2,
  SLUICE_SCALING_YARN = 3
};

/* Extent and rotation of the rows of one prompt. */
typedef struct sluice_kv_format {
  uint32_t struct_size; /* sizeof(sluice_kv_format) */
  uint32_t dtype;
  uint64_t layers, tokens, kv_heads, head_dim;
  uint64_t first_position; /* of the first token in its request */
  uint32_t rope_style;     /* SLUICE_ROPE_NONE when K is not rotated, or it is not known how */
  uint32_t rope_dims;      /* rotated leading channels of a head; even */
  double rope_base;
  uint32_t scaling; /* see codec/FORMAT.md section 8 for these five */
  float scaling_factor, scaling_low, scaling_high;
  uint32_t scaling_original_tokens;
  uint32_t rope_local_period; /* 0: every layer has rope_base */
  double rope_local_base;
} sluice_kv_format;

/* What to make, or to take from a file. Zeroed fields (struct_size apart) are the defaults. */
typedef struct sluice_codec_options {
  uint32_t struct_size; /* sizeof(sluice_codec_options) */
  /* raw, lossless, int8, base, refinement1, refinement2, or the name of a level of the profile. NULL or "": lossless,
   * or with a profile its level "default". When decoding: only the parts up to this one. */
  const char* level;
  const sluice_profile* profile; /* NULL: none */
  uint32_t stages;               /* so many nested stages; 0: all */
  uint32_t chunk_tokens;         /* tokens of one unit; 0: 256 */
  uint32_t group_layers;         /* layers of one unit; 0: 6, or what the profile needs */
} sluice_codec_options;

/* Rows to the bytes of a .slk file.
 * Errors: invalid_argument (extents, options), not_found (level), unsupported (values that the level cannot hold),
 * profile_mismatch, no_memory. */
SLUICE_API int32_t sluice_codec_encode(const sluice_kv_format* format, const void* k, const void* v,
                                       const sluice_codec_options* options, sluice_bytes** file, sluice_error* error);

/* The k and v of a dump (a safetensors file in memory, rotation and position in its metadata) to the bytes of a .slk
 * file. Errors: those of sluice_codec_encode, and of files that are no such dump. */
SLUICE_API int32_t sluice_codec_encode_dump(const void* dump, size_t size, const sluice_codec_options* options,
                                            sluice_bytes** file, sluice_error* error);

/* What a file holds, so that rows can be made for it; format->struct_size must be set. It is the file's claim: bound it
 * before allocating.
 * Errors: those of damaged files (2xx). */
SLUICE_API int32_t sluice_codec_format(const void* file, size_t size, sluice_kv_format* format, sluice_error* error);

/* The best rows that a file gives. `side_size` is the size in bytes of k, and of v.
 * Errors: invalid_argument (side_size is not that of the file's rows), not_found (the file lacks units of the level),
 * profile_mismatch, those of damaged files. Rows may then have been written in part. */
SLUICE_API int32_t sluice_codec_decode(const void* file, size_t size, const sluice_codec_options* options, void* k,
                                       void* v, size_t side_size, sluice_error* error);

/* What a .slk or .slp file holds and where its bytes go, as JSON text: the same as `sluice codec inspect --format
 * json`. profile may be NULL. */
SLUICE_API int32_t sluice_codec_inspect(const void* file, size_t size, const sluice_profile* profile,
                                        sluice_bytes** json, sluice_error* error);

/* Sizes before anything is coded, as JSON text: {"levels": [{"level": "default", "stage_bytes": [base, refinement 1,
 * ...]},
 * ...], "lossless_bytes", "raw_bytes"}, sums over all units; without a profile the one level is "nested". Of options,
 * profile, chunk_tokens and group_layers count. */
SLUICE_API int32_t sluice_codec_rate(const sluice_kv_format* format, const void* k, const void* v,
                                     const sluice_codec_options* options, sluice_bytes** json, sluice_error* error);

/* A safetensors file in memory, as `sluice codec calibrate --kv` reads it. `name` is for error texts. */
typedef struct sluice_dump {
  const char* name;
  const void* file;
  size_t size;
} sluice_dump;

/* A level by what it may damage: KL in nats per token. */
typedef struct sluice_level_target {
  const char* name;
  double kl;
  uint32_t stages; /* 1..3 */
} sluice_level_target;

typedef struct sluice_calibration_options {
  uint32_t struct_size; /* sizeof(sluice_calibration_options) */
  uint32_t tier;        /* 1..3; 0: 2 */
  uint32_t layers_back; /* tier 3; 0: 2 */
  uint32_t intra_every; /* tier 3; 0: 8 */
  const sluice_level_target* levels;
  size_t level_count;      /* 0: the usual levels */
  const char* sensitivity; /* JSON text of a measured curve of KL over step (docs/calibration.md), or NULL */
  /* Called now and then with a share in 0..1; anything but 0 ends the calibration with `aborted`. May be NULL. */
  int32_t (*progress)(void* context, const char* phase, double share);
  void* progress_context;
} sluice_calibration_options;

/* Dumps of a model to the bytes of its profile.
 * Errors: incompatible_layout and unsupported (dumps that do not fit, or are not finite), invalid_argument, aborted. */
SLUICE_API int32_t sluice_codec_calibrate(const sluice_dump* dumps, size_t dump_count,
                                          const sluice_calibration_options* options, sluice_bytes** profile,
                                          sluice_error* error);

#ifdef __cplusplus
}
#endif
// NOLINTEND(modernize-deprecated-headers, readability-identifier-naming)
