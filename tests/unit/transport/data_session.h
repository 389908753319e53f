// Two endpoints with DATA over a data fabric and control over loopback TCP: the laws that every data fabric keeps
// (data_session_test.cc). A program with a fabric says how to open it: INSTANTIATE_TEST_SUITE_P of DataSession.
#pragma once

#include <gtest/gtest.h>

#include <functional>
#include <memory>
#include <string>

#include "tests/unit/transport/rig.h"
#include "transport/asio.h"

namespace sluice::transport::test {

/// One way to set up a fabric.
struct DataFabricCase {
  std::string name;
  std::function<std::unique_ptr<DataFabric>(asio::io_context&)> open;
};

/// The fabrics must outlive the rig's sessions and end on the rig's loop.
class DataSession : public testing::TestWithParam<DataFabricCase> {
 protected:
  void open(RigOptions options = {}) {
    prefill_data_ = GetParam().open(loop_);
    decode_data_ = GetParam().open(loop_);
    options.prefill_data = prefill_data_.get();
    options.decode_data = decode_data_.get();
    rig_ = std::make_unique<Rig>(loop_, options);
    ASSERT_TRUE(rig_->join());
  }
  void TearDown() override {
    rig_->shut();
    int closed = 0;
    prefill_data_->async_close([&] { ++closed; });
    decode_data_->async_close([&] { ++closed; });
    EXPECT_TRUE(rig_->run_until([&] { return closed == 2; }));
  }

  asio::io_context loop_{1};
  std::unique_ptr<DataFabric> prefill_data_;
  std::unique_ptr<DataFabric> decode_data_;
  std::unique_ptr<Rig> rig_;
};

}  // namespace sluice::transport::test
