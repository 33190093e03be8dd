// A small thread pool that survives fork, for loops over the images of a batch.
#pragma once

#include <cstdint>
#include <type_traits>

namespace simplepose {

// Threads that a loop uses when the caller names no number: the processors this process may run on.
int default_threads();

namespace detail {
using LoopBody = void (*)(void* context, int64_t index);
void parallel_for(int64_t count, int threads, LoopBody body, void* context);
}  // namespace detail

// Calls body(index) for every index in [0, count), on at most `threads` threads, the calling one among them.
// The order is not defined; the first exception is thrown again here after the others have stopped. A loop that
// starts while another one holds the pool runs on its own thread alone.
template <typename Body>
void parallel_for(int64_t count, int threads, Body&& body) {
  using Plain = std::remove_reference_t<Body>;
  detail::parallel_for(
      count, threads, [](void* context, int64_t index) { (*static_cast<Plain*>(context))(index); },
      const_cast<void*>(static_cast<const void*>(&body)));
}

}  // namespace simplepose
