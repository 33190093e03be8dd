// The thread pool of parallel_for. That of OpenMP hangs in a forked process, such as a data-loader worker.
#include "common/parallel.h"

#include <pthread.h>

#include <algorithm>
#include <atomic>
#include <condition_variable>
#include <exception>
#include <mutex>
#include <system_error>
#include <thread>

namespace simplepose {
namespace {

struct Loop {
  detail::LoopBody body;
  void* context;
  int64_t count;
  std::atomic<int64_t> next{0};
  std::mutex error_mutex;
  std::exception_ptr error;

  void work() {
    for (int64_t index = next++; index < count; index = next++) {
      try {
        body(context, index);
      } catch (...) {
        const std::lock_guard<std::mutex> lock(error_mutex);
        if (!error) error = std::current_exception();
        next = count;
      }
    }
  }
};

class Pool {
 public:
  // False if another loop holds the pool.
  bool run(Loop& loop, int helpers) {
    const std::unique_lock<std::mutex> only_one(run_mutex_, std::try_to_lock);
    if (!only_one.owns_lock()) return false;
    {
      const std::lock_guard<std::mutex> lock(mutex_);
      start_workers(helpers);
      loop_ = &loop;
      wanted_ = helpers;
    }
    wake_.notify_all();
    loop.work();
    std::unique_lock<std::mutex> lock(mutex_);
    loop_ = nullptr;  // workers that have not begun do not begin
    wanted_ = 0;
    done_.wait(lock, [this] { return busy_ == 0; });
    return true;
  }

 private:
  // Fewer if the system starts no more threads, because of a limit of memory or of threads.
  void start_workers(int count) {
    try {
      for (; workers_ < count; ++workers_) std::thread([this] { serve(); }).detach();
    } catch (const std::system_error&) {
    }
  }

  void serve() {
    std::unique_lock<std::mutex> lock(mutex_);
    for (;;) {
      wake_.wait(lock, [this] { return wanted_ > 0; });
      --wanted_;
      ++busy_;
      Loop* loop = loop_;
      lock.unlock();
      loop->work();
      lock.lock();
      if (--busy_ == 0) done_.notify_one();
    }
  }

  std::mutex run_mutex_;
  std::mutex mutex_;
  std::condition_variable wake_, done_;
  Loop* loop_ = nullptr;
  int workers_ = 0, wanted_ = 0, busy_ = 0;
};

// Never destroyed: at exit its threads wait in it. A forked child, where those threads do not exist, gets a new one.
std::atomic<Pool*> the_pool{nullptr};

Pool& pool() {
  static const int registered = pthread_atfork(nullptr, nullptr, [] { the_pool = nullptr; });
  (void)registered;
  Pool* found = the_pool;
  if (!found) {
    Pool* made = new Pool;
    if (the_pool.compare_exchange_strong(found, made)) return *made;
    delete made;
  }
  return *found;
}

}  // namespace

int default_threads() { return static_cast<int>(std::max(1u, std::thread::hardware_concurrency())); }

void detail::parallel_for(int64_t count, int threads, LoopBody body, void* context) {
  Loop loop{body, context, count, {}, {}, {}};
  const auto helpers = static_cast<int>(std::min<int64_t>(threads, count) - 1);
  if (helpers < 1 || !pool().run(loop, helpers)) loop.work();
  if (loop.error) std::rethrow_exception(loop.error);
}

}  // namespace simplepose
