// safetensors files as dumps for calibration. Place in the flow: `sluice codec calibrate` maps files and reads each
// here. Invariant: every size is checked against its tensor before calibration sees it; bytes are viewed, not copied.
#pragma once

#include <cstddef>
#include <span>
#include <string>

#include "base/result.h"
#include "codec/calibration/calibrate.h"
#include "codec/calibration/dump.h"

namespace sluice::integration {

/// Reads k and v as read_kv_tensors() does, and what else there is of gk and gv [rows, layers, tokens, kv_heads,
/// head_dim] (tokens may be fewer than k's: the first ones), q [layers, tokens, heads, head_dim], wo [layers,
/// model_dim, heads * head_dim], attn [layers, tokens], and the metadata gradients.following (tokens whose log p a row
/// sums up). Errors:  those of read_kv_tensors(); kIncompatibleLayout names the tensor whose extents do not fit k.
Result<codec::calibration::Dump> read_calibration_dump(std::string name, std::span<const std::byte> file);

/// What --sensitivity names: {"curve": [{"tier": 2, "step": 0.0016, "kl_mean": 0.0073, "kl_p99": 0.05}, ...]}, sorted
/// by step; points of other tiers and such whose KL is no larger than the one before are left out; kl_p99 may be.
/// "bits_per_value", of whole files, may be told too; "stages" above 1 says that a nested level of so many stages was
/// measured: those points make a curve of their own. Errors:  kBadField for anything else, a step given twice, or a KL
/// that falls as the step grows.
Result<std::vector<codec::calibration::CurvePoint>> read_kl_curve(std::span<const std::byte> file, codec::Tier tier);

}  // namespace sluice::integration
