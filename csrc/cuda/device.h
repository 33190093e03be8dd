// What every CUDA op shares: the device it runs on, checked launches, and whether a device can be used at all.
#pragma once

#include <string>

namespace simplepose {

struct CudaStatus {
  bool usable = false;
  int devices = 0;
  std::string name;          // of the device that was asked for
  std::string architecture;  // such as "sm_90"
  std::string reason;        // why it is not usable, one line; empty if it is
};

// Never throws: no driver, no GPU and a GPU whose architecture the build lacks are answers.
CudaStatus cuda_status(int device);

// Makes `device` the current one while it lives.
class DeviceGuard {
 public:
  explicit DeviceGuard(int device);
  ~DeviceGuard();
  DeviceGuard(const DeviceGuard&) = delete;
  DeviceGuard& operator=(const DeviceGuard&) = delete;

 private:
  int previous_ = 0, device_ = 0;
};

// Throws std::runtime_error "<op>: <CUDA's message>" if the launch before it failed.
void check_launch(const char* op);

}  // namespace simplepose
