// From a configuration to what a node is made of: its options and its engine. Shared by every command that has a node.
#pragma once

#include <memory>
#include <optional>

#include "base/clock.h"
#include "base/result.h"
#include "integration/config.h"
#include "integration/engine.h"
#include "integration/node.h"
#include "transport/tcp/tls.h"

namespace sluice::programs {

/// What tls.* asks for; nothing when it is not set.  Threads: pure.
std::optional<transport::tcp::TlsOptions> tls_options(const integration::Config& config);

/// Threads: pure.
integration::NodeOptions node_options(const integration::Config& config);

/// The engine of engine.kind; nullptr for "none".
/// Errors:  kModelMissing, kUnsupported (not in this build), those of the engine.
Result<std::unique_ptr<integration::Engine>> open_engine(const integration::Config& config, const Clock& clock);

}  // namespace sluice::programs
