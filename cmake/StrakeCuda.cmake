# The CUDA compiler and libraries of the device `cuda`.

set(STRAKE_CUDA_ARCHITECTURES "80;90a;100" CACHE STRING "Compute capabilities to build for")
if(NOT DEFINED CMAKE_CUDA_COMPILER AND NOT DEFINED ENV{CUDACXX})
  find_program(CMAKE_CUDA_COMPILER nvcc HINTS /usr/local/cuda/bin REQUIRED)
endif()
# CMake 3.25 does not know all of them, nor C++20 for nvcc: both are given as options.
set(CMAKE_CUDA_ARCHITECTURES OFF)
enable_language(CUDA)
find_package(CUDAToolkit 13.0 REQUIRED)
find_path(STRAKE_NCCL_INCLUDE nccl.h HINTS ${CUDAToolkit_INCLUDE_DIRS} REQUIRED)
find_library(STRAKE_NCCL nccl HINTS ${CUDAToolkit_LIBRARY_DIR} ${CUDAToolkit_LIBRARY_ROOT}/lib REQUIRED)

add_library(strake_cuda_flags INTERFACE)
target_compile_options(strake_cuda_flags INTERFACE
  "$<$<COMPILE_LANGUAGE:CUDA>:-std=c++20;--expt-relaxed-constexpr;-lineinfo;-Xcompiler=-Wall,-ffp-contract=off>")
foreach(architecture IN LISTS STRAKE_CUDA_ARCHITECTURES)
  target_compile_options(strake_cuda_flags INTERFACE
    "$<$<COMPILE_LANGUAGE:CUDA>:-gencode=arch=compute_${architecture},code=sm_${architecture}>")
endforeach()
