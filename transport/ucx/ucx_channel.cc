#include "transport/ucx/ucx_channel.h"

#include <algorithm>
#include <cstring>

namespace sluice::transport::ucx {

Result<void> UcxPeer::connect(const DataFabric::Peering& peering) {
  remote_key_ = peering.remote_key;
  ucp_ep_params_t params{};
  params.field_mask =
      UCP_EP_PARAM_FIELD_REMOTE_ADDRESS | UCP_EP_PARAM_FIELD_ERR_HANDLING_MODE | UCP_EP_PARAM_FIELD_ERR_HANDLER;
  params.address = reinterpret_cast<const ucp_address_t*>(peering.address.data());
  params.err_mode = options_.peer_error_handling ? UCP_ERR_HANDLING_MODE_PEER : UCP_ERR_HANDLING_MODE_NONE;
  params.err_handler.cb = &UcxPeer::endpoint_failed;
  params.err_handler.arg = this;
  const ucs_status_t status = ucp_ep_create(worker_.handle(), &params, &endpoint_);
  if (status != UCS_OK) return from_ucx(status, "ucp_ep_create");
  worker_.kick();
  return {};
}

Result<void> UcxPeer::send(OutgoingFrame frame) {
  if (closing_) return Error{ErrorCode::kPeerLost, 0, "send on a closing channel"};
  SLUICE_TRY(queue_.push(std::move(frame)));
  worker_.kick();  // settle() posts it
  return {};
}

void UcxPeer::drop(RequestId request) {
  std::deque<OutgoingFrame> gone = queue_.drop(request);
  if (!gone.empty()) asio::post(loop_, settling(std::move(gone), kDropped));
}

void UcxPeer::post_sends() {
  while (!closing_ && failure_.code == ErrorCode::kOk && !queue_.is_empty() &&
         (sending_ == 0 || in_flight_ < options_.in_flight)) {
    post_send(queue_.pop());
  }
}

void UcxPeer::post_send(OutgoingFrame frame) {
  auto sending = std::make_unique<Sending>();
  sending->peer = shared_from_this();
  sending->frame = std::move(frame);
  if (sending_ > 0) sending->frame.header.flags |= kFlagBackToBack;
  for (std::size_t at = 0; at < kKeySize; ++at) {
    sending->header[at] = static_cast<std::byte>((remote_key_ >> (8 * at)) & 0xFFU);
  }
  const FrameBytes header = encode(sending->frame.header);
  std::copy(header.begin(), header.end(), sending->header.begin() + kKeySize);
  const OutgoingFrame& out = sending->frame;
  const std::span<const std::byte> payload = payload_of(out);
  ucp_request_param_t param{};
  param.op_attr_mask = UCP_OP_ATTR_FIELD_CALLBACK | UCP_OP_ATTR_FIELD_USER_DATA | UCP_OP_ATTR_FIELD_FLAGS;
  param.flags = UCP_AM_SEND_FLAG_EAGER;
  param.cb.send = &UcxPeer::sent;
  param.user_data = sending.get();
  in_flight_ += wire_size(out);
  ++sending_;
  ucs_status_ptr_t status = ucp_am_send_nbx(endpoint_, kDataMessage, sending->header.data(), sending->header.size(),
                                            payload.data(), payload.size(), &param);
  Sending* raw = sending.release();
  if (!UCS_PTR_IS_PTR(status)) sent(nullptr, UCS_PTR_STATUS(status), raw);
  worker_.kick();
}

void UcxPeer::sent(void* request, ucs_status_t status, void* user_data) {
  if (request != nullptr) ucp_request_free(request);
  std::unique_ptr<Sending> sending(static_cast<Sending*>(user_data));
  const std::shared_ptr<UcxPeer> peer = std::move(sending->peer);
  if (status != UCS_OK) {
    sending->outcome = from_ucx(status, "ucp_am_send_nbx");
    peer->fail_later(from_ucx(status, "ucp_am_send_nbx"));
  }
  peer->done_.push_back(std::move(sending));
  peer->worker_.kick();
}

void UcxPeer::arrived(std::span<const std::byte> frame_header, std::span<const std::byte> payload) {
  if (closing_ || sink_ == nullptr) return;
  if (frame_header.size() != kFrameHeaderSize) return fail_later(Error{ErrorCode::kBadLength, 0, "ucx frame header"});
  const Result<FrameHeader> header = decode_frame(frame_header.first<kFrameHeaderSize>());
  if (!header) return fail_later(header.error());
  if (header->length.count() != payload.size()) return fail_later(Error{ErrorCode::kBadLength, 0, "ucx frame length"});
  const Result<std::span<std::byte>> place = sink_->place(*header);
  if (!place) return fail_later(place.error());
  if (place->empty()) return;
  std::memcpy(place->data(), payload.data(), payload.size());
  arrived_.push_back(Arrived{*header, *place});
}

void UcxPeer::settle() {
  if (finished_) return;
  const std::shared_ptr<UcxPeer> self = shared_from_this();
  std::vector<Arrived> arrived;
  arrived.swap(arrived_);
  for (const Arrived& frame : arrived) {
    sink_->on_progress(Bytes(kFrameHeaderSize) + frame.header.length);
    sink_->on_frame(frame.header, frame.payload);
  }
  std::vector<std::unique_ptr<Sending>> done;
  done.swap(done_);
  for (const auto& sending : done) {
    --sending_;
    in_flight_ -= wire_size(sending->frame);
    queue_.sent(sending->frame);
    transport::settle(sending->frame, sending->outcome);
  }
  if (failure_.code != ErrorCode::kOk) close(failure_);
  post_sends();
  finish_if_idle();
}

void UcxPeer::endpoint_failed(void* user_data, ucp_ep_h, ucs_status_t status) {
  auto* peer = static_cast<UcxPeer*>(user_data);
  peer->fail_later(from_ucx(status, "ucx endpoint"));
  peer->worker_.kick();
}

void UcxPeer::close(Error error) {
  if (closing_) return;
  closing_ = true;
  error_ = error;
  asio::post(loop_, [self = shared_from_this(), tell = settling(queue_.take_data(), error_)] {
    tell();
    self->close_endpoint();
  });
}

void UcxPeer::abandon() {
  if (sink_ == nullptr) close(Error{ErrorCode::kAborted, 0, "never started"});
}

// FORCE needs PEER on both sides; without it UCX can only flush, which a dead peer never lets end, so that is bounded.
void UcxPeer::close_endpoint() {
  ucp_request_param_t param{};
  param.op_attr_mask = UCP_OP_ATTR_FIELD_CALLBACK | UCP_OP_ATTR_FIELD_USER_DATA | UCP_OP_ATTR_FIELD_FLAGS;
  param.flags = options_.peer_error_handling ? std::uint32_t{UCP_EP_CLOSE_FLAG_FORCE} : 0U;
  param.cb.send = &UcxPeer::endpoint_closed;
  param.user_data = new std::shared_ptr<UcxPeer>(shared_from_this());
  ucs_status_ptr_t status = ucp_ep_close_nbx(endpoint_, &param);
  if (!UCS_PTR_IS_PTR(status)) endpoint_closed(nullptr, UCS_PTR_STATUS(status), param.user_data);
  worker_.kick();
  guard_.expires_after(kCloseTime);
  guard_.async_wait([self = shared_from_this()](const boost::system::error_code& stopped) {
    if (stopped) return;
    // UCX may hold payloads for longer: each Sending keeps its own alive until then, but nobody is told any more.
    self->gave_up_ = true;
    self->finish_if_idle();
  });
}

void UcxPeer::endpoint_closed(void* request, ucs_status_t, void* user_data) {
  if (request != nullptr) ucp_request_free(request);
  const std::unique_ptr<std::shared_ptr<UcxPeer>> peer(static_cast<std::shared_ptr<UcxPeer>*>(user_data));
  (*peer)->endpoint_is_closed_ = true;
  (*peer)->guard_.cancel();
  (*peer)->worker_.kick();
}

void UcxPeer::finish_if_idle() {
  const bool idle = endpoint_is_closed_ && sending_ == 0 && arrived_.empty();
  if (finished_ || !(idle || gave_up_)) return;
  finished_ = true;
  if (sink_ != nullptr) sink_->on_closed(error_);
  if (ended_) ended_();
}

}  // namespace sluice::transport::ucx
