# The CUDA ops as a static library of their own, simplepose_cuda, with static cudart: the wheel then imports on
# machines without a GPU or driver. Sets SIMPLEPOSE_CUDA_FOUND and SIMPLEPOSE_CUDA_ARCHITECTURES.
set(SIMPLEPOSE_CUDA_FOUND OFF)
set(SIMPLEPOSE_CUDA_ARCHITECTURES "")
if(NOT SIMPLEPOSE_CUDA MATCHES "^(AUTO|ON|OFF)$")
  message(FATAL_ERROR "SIMPLEPOSE_CUDA: expected AUTO, ON or OFF, got '${SIMPLEPOSE_CUDA}'")
endif()
if(SIMPLEPOSE_CUDA STREQUAL "OFF")
  message(STATUS "simplepose: CUDA is switched off")
  return()
endif()

# The compiler is often installed where PATH does not look.
if(NOT DEFINED ENV{CUDACXX} AND NOT CMAKE_CUDA_COMPILER)
  find_program(SIMPLEPOSE_NVCC nvcc HINTS ENV CUDA_HOME ENV CUDA_PATH PATHS /usr/local/cuda /opt/cuda PATH_SUFFIXES bin)
  if(SIMPLEPOSE_NVCC)
    set(ENV{CUDACXX} "${SIMPLEPOSE_NVCC}")
  endif()
endif()
if(NOT DEFINED CMAKE_CUDA_ARCHITECTURES)
  set(CMAKE_CUDA_ARCHITECTURES "75-real;80-real;86-real;89-real;90")
endif()
include(CheckLanguage)
check_language(CUDA)
if(NOT CMAKE_CUDA_COMPILER)
  if(SIMPLEPOSE_CUDA STREQUAL "ON")
    message(FATAL_ERROR "SIMPLEPOSE_CUDA=ON, but no CUDA compiler works: install the CUDA toolkit or set CUDACXX")
  endif()
  message(STATUS "simplepose: no CUDA compiler, the CUDA ops are left out")
  return()
endif()

enable_language(CUDA)
find_package(CUDAToolkit REQUIRED)
set(CMAKE_CUDA_STANDARD 17)
set(SIMPLEPOSE_CUDA_FOUND ON)
string(REPLACE ";" " " SIMPLEPOSE_CUDA_ARCHITECTURES "${CMAKE_CUDA_ARCHITECTURES}")
message(STATUS "simplepose: CUDA ${CUDAToolkit_VERSION} for ${SIMPLEPOSE_CUDA_ARCHITECTURES}")

add_library(simplepose_cuda STATIC
  csrc/cuda/device.cu
  csrc/decode/decode_cuda.cu
  csrc/render_targets/render_targets.cu)
target_include_directories(simplepose_cuda PUBLIC csrc)
target_compile_definitions(simplepose_cuda PUBLIC SIMPLEPOSE_WITH_CUDA)
# As errors also what the assembler says of registers that spill and arrays that are not in registers.
target_compile_options(simplepose_cuda PRIVATE
  $<$<COMPILE_LANGUAGE:CUDA>:-O3 -fmad=false -Xcompiler=-Wall,-Wextra,-fvisibility=hidden>
  $<$<AND:$<COMPILE_LANGUAGE:CUDA>,$<BOOL:${SIMPLEPOSE_WARNINGS_AS_ERRORS}>>:-Werror=all-warnings -Xcompiler=-Werror
    -Xptxas=--warn-on-spills -Xptxas=--warn-on-local-memory-usage>)
set_target_properties(simplepose_cuda PROPERTIES CUDA_RUNTIME_LIBRARY Static CUDA_VISIBILITY_PRESET hidden)
target_link_libraries(simplepose_cuda PUBLIC CUDA::cudart_static)
