// A guard that releases the interpreter lock, and survives the end of the interpreter.
#pragma once

#include <pybind11/pybind11.h>

#include <chrono>
#include <thread>

#if defined(__GLIBCXX__)
#include <cxxabi.h>
#endif

namespace simplepose {

// Releases the interpreter lock in its scope. py::gil_scoped_release aborts the process if the interpreter is finalized
// meanwhile, as at the exit of a program with daemon threads: up to Python 3.13, taking the lock then ends the thread
// with pthread_exit, and that unwinding cannot leave a destructor. Here such a thread waits for the end of the process
// instead, as from Python 3.14 on. It holds no lock and does not touch the interpreter any more.
class GilRelease {
 public:
  GilRelease() : state_(PyEval_SaveThread()) {}
  ~GilRelease() {
#if defined(__GLIBCXX__)
    try {
      PyEval_RestoreThread(state_);
    } catch (abi::__forced_unwind&) {
      for (;;) std::this_thread::sleep_for(std::chrono::hours(1));
    }
#else
    PyEval_RestoreThread(state_);
#endif
  }
  GilRelease(const GilRelease&) = delete;
  GilRelease& operator=(const GilRelease&) = delete;

 private:
  PyThreadState* state_;
};

}  // namespace simplepose
