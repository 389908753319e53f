/* The C ABI from C99, knowing nothing but sluice.h: lossless rows come back bit for bit, nested ones near; sizes are
 * told before coding; wrong use and damage are numbers, and leave outputs alone. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "integration/capi/sluice.h"

#define CHECK(condition)                                              \
  do {                                                                \
    if (!(condition)) {                                               \
      fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #condition); \
      exit(1);                                                        \
    }                                                                 \
  } while (0)

enum { LAYERS = 2, TOKENS = 80, HEADS = 2, DIM = 32, VALUES = LAYERS * TOKENS * HEADS * DIM };

/* exit() is called by the only thread. NOLINTBEGIN(concurrency-mt-unsafe) */

static float k[VALUES], v[VALUES], k_back[VALUES], v_back[VALUES];

static sluice_kv_format format_of_rows(void) {
  sluice_kv_format format;
  memset(&format, 0, sizeof format);
  format.struct_size = sizeof format;
  format.dtype = SLUICE_F32;
  format.layers = LAYERS;
  format.tokens = TOKENS;
  format.kv_heads = HEADS;
  format.head_dim = DIM;
  format.rope_style = SLUICE_ROPE_HALVES;
  format.rope_dims = DIM;
  format.rope_base = 10000.0;
  return format;
}

static sluice_codec_options level_named(const char* name) {
  sluice_codec_options options;
  memset(&options, 0, sizeof options);
  options.struct_size = sizeof options;
  options.level = name;
  return options;
}

static double error_of_level(const char* name) {
  const sluice_kv_format format = format_of_rows();
  const sluice_codec_options options = level_named(name);
  sluice_kv_format told;
  sluice_bytes* file = NULL;
  double sum = 0;
  CHECK(sluice_codec_encode(&format, k, v, &options, &file, NULL) == 0);
  memset(&told, 0, sizeof told);
  told.struct_size = sizeof told;
  CHECK(sluice_codec_format(sluice_bytes_data(file), sluice_bytes_size(file), &told, NULL) == 0);
  /* Both were filled with zeros first. NOLINTNEXTLINE(bugprone-suspicious-memory-comparison) */
  CHECK(memcmp(&told, &format, sizeof told) == 0);
  CHECK(sluice_codec_decode(sluice_bytes_data(file), sluice_bytes_size(file), NULL, k_back, v_back, sizeof k, NULL) ==
        0);
  for (int i = 0; i < VALUES; ++i) sum += fabsf(k[i] - k_back[i]) + fabsf(v[i] - v_back[i]);
  sluice_bytes_free(file);
  return sum / VALUES;
}

static void levels_are_what_they_say(void) {
  CHECK(error_of_level("raw") == 0);
  CHECK(error_of_level(NULL) == 0);
  const double base = error_of_level("base"), finest = error_of_level("refinement2");
  CHECK(base > 0 && finest > 0 && finest < base / 3);
}

static void sizes_are_told(void) {
  const sluice_kv_format format = format_of_rows();
  sluice_bytes* json = NULL;
  CHECK(sluice_codec_rate(&format, k, v, NULL, &json, NULL) == 0);
  CHECK(sluice_bytes_size(json) > 2 && sluice_bytes_data(json)[0] == '{');
  sluice_bytes_free(json);
}

static void wrong_use_is_a_number(void) {
  sluice_kv_format format = format_of_rows();
  sluice_codec_options options = level_named("no-such-level");
  sluice_bytes* file = NULL;
  sluice_error error;
  CHECK(sluice_codec_encode(&format, k, v, &options, &file, &error) == 104 && error.code == 104 && file == NULL);
  CHECK(strcmp(sluice_error_name(error.code), "not_found") == 0 && strlen(sluice_error_hint(error.code)) > 0);
  CHECK(sluice_codec_encode(&format, NULL, v, NULL, &file, &error) == 100 && file == NULL);
  CHECK(sluice_codec_encode(NULL, k, v, NULL, &file, &error) == 100 && file == NULL);
  options.struct_size = 1;
  CHECK(sluice_codec_encode(&format, k, v, &options, &file, NULL) == 100 && file == NULL);
  format.tokens = 0;
  CHECK(sluice_codec_encode(&format, k, v, NULL, &file, NULL) == 100 && file == NULL);
  format = format_of_rows();
  format.rope_dims = 7;
  CHECK(sluice_codec_encode(&format, k, v, NULL, &file, NULL) == 100 && file == NULL);
}

static void damage_is_a_number(void) {
  const sluice_kv_format format = format_of_rows();
  sluice_bytes* file = NULL;
  sluice_profile* profile = NULL;
  CHECK(sluice_codec_encode(&format, k, v, NULL, &file, NULL) == 0);
  const size_t size = sluice_bytes_size(file);
  uint8_t* const copy = malloc(size);
  CHECK(copy != NULL);
  memcpy(copy, sluice_bytes_data(file), size);
  copy[size - 1] ^= 1;
  CHECK(sluice_codec_decode(copy, size, NULL, k_back, v_back, sizeof k, NULL) == 205);
  CHECK(sluice_codec_decode(copy, 10, NULL, k_back, v_back, sizeof k, NULL) / 100 == 2);
  CHECK(sluice_codec_decode(sluice_bytes_data(file), size, NULL, k_back, v_back, sizeof k - 1, NULL) == 100);
  CHECK(sluice_profile_open(copy, size, &profile, NULL) / 100 == 2 && profile == NULL);
  free(copy);
  sluice_bytes_free(file);
}

int main(void) {
  uint32_t state = 1;
  CHECK(sluice_abi_version() == SLUICE_ABI_VERSION);
  for (int i = 0; i < VALUES; ++i) {
    state = state * 1664525U + 1013904223U;
    k[i] = (float)(state >> 16) / 65536.0F - 0.5F;
    v[i] = k[i] * k[i] + (float)(i % DIM) / DIM;
  }
  levels_are_what_they_say();
  sizes_are_told();
  wrong_use_is_a_number();
  damage_is_a_number();
  sluice_bytes_free(NULL);
  sluice_profile_close(NULL);
  return 0;
}

/* NOLINTEND(concurrency-mt-unsafe) */
