// A small thread pool that survives fork, for loops over the images of a batch.
#pragma once

#include <cstdint>
#include <type_traits>

namespace simplepose {

// Default number of threads of a loop: the processors on which this process may run.
int default_threads();

namespace detail {
using LoopBody = void (*)(void* context, int64_t index);
void parallel_for(int64_t count, int threads, LoopBody body, void* context);
}  // namespace detail

// Calls body(index) for every index in [0, count), on at most `threads` threads including the calling one. The order is
// not defined. The first exception is rethrown here after the other threads have stopped. A loop that starts while
// another one uses the pool runs on the calling thread alone.
template <typename Body>
void parallel_for(int64_t count, int threads, Body&& body) {
  using Plain = std::remove_reference_t<Body>;
  detail::parallel_for(
      count, threads, [](void* context, int64_t index) { (*static_cast<Plain*>(context))(index); },
      const_cast<void*>(static_cast<const void*>(&body)));
}

}  // namespace simplepose
