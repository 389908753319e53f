// Result<T>: a value or an Error, with the member names of C++23's std::expected (the compilers of Debian 12 lack it).
// Place in the flow: every function that the world can make fail returns one; nothing of ours throws.
#pragma once

#include <optional>
#include <type_traits>
#include <utility>
#include <variant>

#include "base/assert.h"
#include "base/error.h"

namespace sluice {

/// A value of type T, or the Error that prevented it.
/// Threads: as safe as T.
template <typename T>
class [[nodiscard]] Result {
 public:
  using value_type = T;

  Result(T value) : state_(std::in_place_index<0>, std::move(value)) {}  // implicit: `return value;`
  Result(Error error) : state_(std::in_place_index<1>, error) {          // implicit: `return Error{...};`
    SLUICE_ASSERT(error.code != ErrorCode::kOk);
  }

  bool has_value() const { return state_.index() == 0; }
  explicit operator bool() const { return has_value(); }

  /// Asserts that there is a value.
  T& value() & { return checked(); }
  const T& value() const& { return const_cast<Result*>(this)->checked(); }
  T&& value() && { return std::move(checked()); }
  T& operator*() & { return checked(); }
  const T& operator*() const& { return value(); }
  T&& operator*() && { return std::move(checked()); }
  T* operator->() { return &checked(); }
  const T* operator->() const { return &value(); }

  /// Asserts that there is none.
  const Error& error() const {
    SLUICE_ASSERT(!has_value());
    return std::get<1>(state_);
  }

  template <typename U>
  T value_or(U&& other) const& {
    return has_value() ? value() : static_cast<T>(std::forward<U>(other));
  }

 private:
  T& checked() {
    SLUICE_ASSERT(has_value());
    return std::get<0>(state_);
  }

  std::variant<T, Error> state_;
};

/// Success without a value, or an Error.
template <>
class [[nodiscard]] Result<void> {
 public:
  using value_type = void;

  Result() = default;
  Result(Error error) : error_(error) { SLUICE_ASSERT(error.code != ErrorCode::kOk); }

  bool has_value() const { return error_.code == ErrorCode::kOk; }
  explicit operator bool() const { return has_value(); }

  const Error& error() const {
    SLUICE_ASSERT(!has_value());
    return error_;
  }

 private:
  Error error_;
};

}  // namespace sluice

/// Returns the Error of `expression` from the enclosing function, if it has one.
#define SLUICE_TRY(expression)                                           \
  do {                                                                   \
    if (auto sluice_result = (expression); !sluice_result.has_value()) { \
      return sluice_result.error();                                      \
    }                                                                    \
  } while (false)

#define SLUICE_JOIN_INNER(left, right) left##right
#define SLUICE_JOIN(left, right) SLUICE_JOIN_INNER(left, right)

/// `SLUICE_ASSIGN(auto x, expression);` declares or sets x to the value, or returns the Error. In .cc files only.
#define SLUICE_ASSIGN(target, expression) SLUICE_ASSIGN_AS(target, expression, SLUICE_JOIN(sluice_result_, __LINE__))
#define SLUICE_ASSIGN_AS(target, expression, name) \
  auto name = (expression);                        \
  if (!name.has_value()) return name.error();      \
  target = std::move(name).value()
