// The device that a CUDA op runs on, the check of its launch, and the status of a device.
#pragma once

#include <string>

namespace simplepose {

struct CudaStatus {
  bool usable = false;
  int devices = 0;
  std::string name;          // of the requested device
  std::string architecture;  // such as "sm_90"
  std::string reason;        // why the device is not usable, in one line; empty if it is
};

// Whether a device can be used, and otherwise the reason: no driver, no such GPU, or a build without code for its
// architecture. Never throws.
CudaStatus cuda_status(int device);

// Makes `device` the current device during the lifetime of the guard.
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
