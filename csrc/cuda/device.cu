// The device guard, the launch check and the status query of cuda.h.
#include <cuda_runtime.h>

#include <stdexcept>

#include "cuda/device.h"

namespace simplepose {
namespace {

// Loading it shows whether the build holds code for a device.
__global__ void probe() {}

void check(cudaError_t error, const char* op) {
  if (error == cudaSuccess) return;
  (void)cudaGetLastError();  // or the next launch would be blamed for it
  throw std::runtime_error(std::string(op) + ": " + cudaGetErrorString(error));
}

// The first error is kept in `status`; CUDA's own memory of it is cleared.
bool good(cudaError_t error, CudaStatus& status) {
  if (error == cudaSuccess) return true;
  (void)cudaGetLastError();
  // CUDA's own text for it tells people without a driver that theirs is too old.
  status.reason = error == cudaErrorInsufficientDriver ? "no NVIDIA driver, or one older than the CUDA runtime"
                                                       : cudaGetErrorString(error);
  return false;
}

}  // namespace

CudaStatus cuda_status(int device) {
  CudaStatus status;
  if (!good(cudaGetDeviceCount(&status.devices), status)) {
    status.devices = 0;
    return status;
  }
  if (device < 0 || device >= status.devices) {
    status.reason = "no CUDA device " + std::to_string(device) + " (" + std::to_string(status.devices) + " found)";
    return status;
  }
  cudaDeviceProp properties;
  if (!good(cudaGetDeviceProperties(&properties, device), status)) return status;
  status.name = properties.name;
  status.architecture = "sm_" + std::to_string(properties.major) + std::to_string(properties.minor);
  int previous = 0;
  if (!good(cudaGetDevice(&previous), status) || !good(cudaSetDevice(device), status)) return status;
  cudaFuncAttributes attributes;
  status.usable = good(cudaFuncGetAttributes(&attributes, probe), status);
  if (!status.usable)
    status.reason = "the build has no code for " + status.architecture + " (" + status.name + "): " + status.reason;
  (void)cudaSetDevice(previous);
  return status;
}

DeviceGuard::DeviceGuard(int device) : device_(device) {
  check(cudaGetDevice(&previous_), "cudaGetDevice");
  if (previous_ != device_) check(cudaSetDevice(device_), "cudaSetDevice");
}

DeviceGuard::~DeviceGuard() {
  if (previous_ != device_) (void)cudaSetDevice(previous_);
}

void check_launch(const char* op) { check(cudaGetLastError(), op); }

}  // namespace simplepose
