#include "integration/http_client.h"

#include "integration/beast.h"

namespace sluice::integration {
namespace {

constexpr std::uint64_t kMostResponse = 64U << 20U;

/// The steps of one call on a loop of its own; each starts the next.
class Caller {
 public:
  explicit Caller(const HttpCall& call) : call_(call), resolver_(loop_), stream_(loop_) {}

  Result<HttpResponse> run() {
    request_.method_string(call_.request.method);
    request_.target(call_.request.target);
    request_.version(11);
    request_.set(http::field::host, to_text(call_.address));
    request_.set(http::field::content_type, "application/json");
    request_.keep_alive(false);
    request_.body() = call_.request.body;
    request_.prepare_payload();
    parser_.body_limit(kMostResponse);
    resolver_.async_resolve(call_.address.host, std::to_string(call_.address.port),
                            [this](const auto& failure, const auto& found) {
                              if (!failed(failure, "name")) connect(found);
                            });
    loop_.run_for(call_.deadline);
    if (!ended_) return Error{ErrorCode::kDeadlineMissed, 0, "http call"};
    if (error_.code != ErrorCode::kOk) return error_;
    return HttpResponse{static_cast<int>(parser_.get().result_int()),
                        std::string(parser_.get()[http::field::content_type]), parser_.get().body()};
  }

 private:
  bool failed(const boost::system::error_code& failure, const char* where) {
    if (!failure) return false;
    ended_ = true;
    error_ = transport::from_asio(failure, where);
    const bool is_http = failure.category() == http::make_error_code(http::error::bad_version).category();
    if (is_http) error_.code = ErrorCode::kCorruptStream;
    if (failure == http::error::end_of_stream || failure == http::error::partial_message)
      error_.code = ErrorCode::kPeerLost;
    if (error_.code == ErrorCode::kIo && where == std::string_view("name")) error_.code = ErrorCode::kUnreachable;
    return true;
  }
  void connect(const asio::ip::tcp::resolver::results_type& found) {
    stream_.async_connect(found, [this](const auto& failure, const auto&) {
      if (!failed(failure, "connect")) write();
    });
  }
  void write() {
    http::async_write(stream_, request_, [this](const auto& failure, std::size_t) {
      if (!failed(failure, "http request")) read();
    });
  }
  void read() {
    http::async_read(stream_, buffer_, parser_, [this](const auto& failure, std::size_t) {
      if (!failed(failure, "http response")) ended_ = true;
    });
  }

  const HttpCall& call_;
  asio::io_context loop_;
  asio::ip::tcp::resolver resolver_;
  beast::tcp_stream stream_;
  beast::flat_buffer buffer_;
  http::request<http::string_body> request_;
  http::response_parser<http::string_body> parser_;
  Error error_;
  bool ended_ = false;
};

}  // namespace

Result<HttpResponse> call_http(const HttpCall& call) {
  if (call.request.method.empty() || call.request.target.empty() || call.request.target.front() != '/') {
    return Error{ErrorCode::kInvalidArgument, 0, "http call"};
  }
  return Caller(call).run();
}

}  // namespace sluice::integration
